"""Prints the zoo, or one net layer by layer.

python -m nets
python -m nets resnet_v1_50
"""

import sys

from nets import costs, nets_factory
from slimcompat import errors


def zoo_table(names):
  """Yields the lines of a Markdown table of the nets `names`."""
  yield '| net | parameters, M | GMACs | input | preprocessing | released checkpoint | top-1, % |'
  yield '|---|---:|---:|---|---|---|---:|'
  for name in names:
    row = nets_factory.NETWORKS[name]
    layers = costs.list_layers(name)
    parameters = sum(layer.num_parameters for layer in layers) / 1e6
    gmacs = sum(layer.num_macs for layer in layers) / 1e9
    size = f'{row.image_size}x{row.image_size}'
    if row.is_video:
      size = f'{costs.NUM_FRAMES}x{size}'
    checkpoints = ', '.join(f'[{each.name}]({each.url})' for each in row.checkpoints) or '-'
    top1 = ', '.join(f'{each.top1}' for each in row.checkpoints) or '-'
    yield (
      f'| {name} | {parameters:.2f} | {gmacs:.3f} | {size} | {row.preprocessing} | {checkpoints}'
      f' | {top1} |'
    )


def layer_table(name):
  """Yields the lines of a table of the layers of the net `name`."""
  layers = costs.list_layers(name)
  width = max(len(layer.scope) for layer in layers)
  yield f'{"scope":{width}}  {"output":>18}  {"parameters":>12}  {"MACs":>16}'
  total = costs.Layer(
    'total',
    num_parameters=sum(layer.num_parameters for layer in layers),
    num_macs=sum(layer.num_macs for layer in layers),
  )
  for layer in [*layers, total]:
    shape = 'x'.join(map(str, layer.output_shape))
    yield f'{layer.scope:{width}}  {shape:>18}  {layer.num_parameters:>12,}  {layer.num_macs:>16,}'


def main(arguments):
  """Prints what the command line asks for; returns the exit code."""
  try:
    if len(arguments) > 1:
      raise errors.InputError(f'Got {len(arguments)} arguments; give the name of one net, or none.')
    lines = layer_table(arguments[0]) if arguments else zoo_table(nets_factory.NETWORKS)
    for line in lines:
      sys.stdout.write(f'{line}\n')
      sys.stdout.flush()
  except errors.InputError as error:
    sys.stderr.write(f'python -m nets: error: {error}\n')
    return 1
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
