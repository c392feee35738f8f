"""report.html: a page about an evaluation, in one file that needs nothing else."""

import base64
import datetime
import html
import io
import shlex
from typing import NamedTuple

import numpy as np
from PIL import Image

from slimcompat import escapes
from slimtrain import report_plots

_MAX_CLASS_ROWS = 40  # Of more classes, only those with the smallest F1 are listed.
_MAX_SLICES = 100
_MAX_PAIRS = 12
_ABBREVIATIONS = {'f1': 'F1', 'roc': 'ROC', 'auc': 'AUC', 'mae': 'MAE', 'rmse': 'RMSE', 'r2': 'R2'}
_PICTURE_SIDE = 320  # Pixels that a picture has at most; it is shown half as wide.
_SMALL_SIDE = 128  # Up to which the pixels of a picture are shown as such.

# The content policy makes sure that nothing is requested from anywhere.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f4f2; color: #222;
  font: 16px/1.45 system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 20px 16px 60px; }
h1 { font-size: 28px; line-height: 1.2; margin: 12px 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 20px; margin: 36px 0 4px; }
h3 { font-size: 16px; margin: 0 0 2px; overflow-wrap: anywhere; }
p { margin: 4px 0 12px; max-width: 80ch; overflow-wrap: anywhere; }
.pale { color: #666; }
.small { font-size: 14px; }
.numbers { display: grid; gap: 10px; margin: 16px 0;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 150px), 1fr)); }
.number, .plot, .sheet { background: #fff; border: 1px solid #e2e2de; border-radius: 8px;
  padding: 12px 14px; min-width: 0; }
.number b { display: block; font-size: 26px; line-height: 1.2; font-weight: 600; }
.number span { display: block; font-size: 13px; color: #666; overflow-wrap: anywhere; }
.plots { display: grid; gap: 12px; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); }
.plot img { display: block; width: 100%; max-width: 480px; height: auto; margin: 0 auto; }
.plot p { font-size: 14px; color: #666; margin: 0 0 8px; }
.sheet { padding: 4px 0; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px;
  font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 10px; border-top: 1px solid #ececea; vertical-align: top; }
tr:first-child th { border-top: 0; }
th { font-weight: 600; color: #555; }
th { white-space: nowrap; }
td.text, th.text { text-align: left; overflow-wrap: anywhere; min-width: 5em; }
.plot td.text { width: 40%; }
.plot th, .plot td { padding: 5px 6px; }
.range { color: #666; white-space: nowrap; }
th.text { overflow-wrap: normal; }
.facts th { white-space: nowrap; }
.facts td { width: 100%; }
.pictures { display: grid; gap: 12px;
  grid-template-columns: repeat(auto-fill, minmax(min(46%, 160px), 1fr)); }
.picture { background: #fff; border: 1px solid #e2e2de; border-radius: 8px; padding: 8px;
  font-size: 13px; line-height: 1.35; overflow-wrap: anywhere; min-width: 0; }
.picture img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain;
  background: #ececea; margin-bottom: 6px; }
.pixels { image-rendering: pixelated; }
.wrong { color: #b3261e; }
code { font: 13px/1.4 ui-monospace, "Liberation Mono", Menlo, monospace; overflow-wrap: anywhere; }
@media (max-width: 640px) {
  .wide { display: none; }
  th, td { padding: 5px; font-size: 13px; }
  th { white-space: normal; }
  h1 { font-size: 23px; }
}
"""


class Picture(NamedTuple):
  """An example to look at."""

  image: Image.Image | None  # None where it cannot be shown.
  lines: tuple[str, ...]  # What is said of it; the first one in red.
  source: str  # Where it is from.


class Content(NamedTuple):
  """What a page is made of."""

  title: str
  subtitle: str
  result: dict  # As in eval.json.
  predicted: object  # The predictions.Predictions.
  assessment: object  # The assessment.Assessment.
  plots: dict  # {heading of a section: report_plots.Plots}.
  pictures: tuple[Picture, ...]
  pictures_heading: str
  facts: dict  # {name: text} of the run.
  note: str = ''  # A sentence on what is missing.


def make(content):
  """Returns the page of a Content, as text."""
  predicted, assessment = content.predicted, content.assessment
  parts = [
    f'<h1>{_text(content.title)}</h1>',
    f'<p class="pale">{_text(content.subtitle)}</p>',
    _numbers(content.result),
  ]
  if content.note:
    parts.append(f'<p>{_text(content.note)}</p>')
  is_single = predicted.task == 'single_label'
  if is_single:
    boxes = [*_plots(content.plots.get('Confusion', ())), _pairs(content)]
    parts += _section('What is taken for what', _grid(boxes))
  if content.pictures:
    parts += _section(content.pictures_heading, _pictures(content.pictures))
  noun = 'target' if predicted.task == 'regression' else 'class'
  parts += _section(f'By {noun}', _classes(predicted, assessment))
  for heading, plots in content.plots.items():
    if plots and heading not in ('Confusion', 'Training'):
      parts += _section(heading, _grid(_plots(plots)))
  if assessment.slices:
    heading = f'By {content.result["slice_key"]}'
    parts += _section(heading, _slices(assessment.slices))
  if content.plots.get('Training'):
    parts += _section('Training', _grid(_plots(content.plots['Training'])))
  parts += _section('The run', _facts(content.facts))
  return _PAGE.format(title=_text(content.title), style=_STYLE.strip(), body='\n'.join(parts))


def _text(value):
  return html.escape(escapes.for_console(str(value), keeps_lines=False))


def _section(heading, body):
  return [f'<h2>{_text(heading)}</h2>', body]


def _format(value):
  """Returns a number as a person reads it."""
  if value is None or value != value:
    return '-'
  if isinstance(value, (int, np.integer)):
    return f'{value:,}'
  return f'{value:.4f}' if abs(value) < 100 else f'{value:,.5g}'


def _title(name):
  """Returns the name of a figure as a person writes it."""
  words = name.split('_')
  return ' '.join(_ABBREVIATIONS.get(word, word) for word in words)


def _numbers(result):
  """Returns the figures of the whole, the metrics first."""
  intervals = result.get('intervals', {})
  numbers = [('examples', result['examples'], '')]
  for tag, value in result.items():
    if tag.startswith('eval/'):
      low_high = intervals.get(tag)
      more = f'{_format(low_high[0])} to {_format(low_high[1])}' if low_high else ''
      numbers.append((tag.removeprefix('eval/'), value, more))
  numbers += [(_title(name), value, '') for name, value in result['figures'].items()]
  boxes = [
    f'<div class="number"><span>{_text(name)}</span><b>{_format(value)}</b>'
    f'<span>{_text(more)}</span></div>'
    for name, value, more in numbers
  ]
  words = ''
  if intervals:
    words = (
      '<p class="pale small">Below a number, where it lies in 95% of the draws of the bootstrap:'
      ' other examples of the same kind would give it within.</p>'
    )
  return f'<div class="numbers">{"".join(boxes)}</div>{words}'


def _image(png, classes='', kind='png', alt=''):
  encoded = base64.b64encode(png).decode()
  return f'<img class="{classes}" alt="{_text(alt)}" src="data:image/{kind};base64,{encoded}">'


def _plots(plots):
  return [
    f'<div class="plot"><h3>{_text(plot.title)}</h3><p>{_text(plot.text)}</p>'
    f'{_image(plot.png, alt=plot.title)}</div>'
    for plot in plots
  ]


def _grid(boxes):
  return f'<div class="plots">{"".join(boxes)}</div>'


def _table(heads, rows, kind='sheet'):
  """Returns a table.

  Args:
    heads: (name, class) of each column.
    rows: lists of the cells' HTML.
    kind: the class of what it stands in.
  """
  head = ''.join(f'<th class="{kind}">{_text(name)}</th>' for name, kind in heads)
  body = ''.join(
    '<tr>'
    + ''.join(f'<td class="{kind}">{cell}</td>' for (_, kind), cell in zip(heads, row, strict=True))
    + '</tr>'
    for row in rows
  )
  return f'<div class="{kind}"><table><tr>{head}</tr>{body}</table></div>'


def _pairs(content):
  """Returns the table of the most frequent mistakes."""
  confusion, names = content.assessment.confusion, content.predicted.class_names
  totals = confusion.support
  mistakes = np.where(confusion.is_right, 0, confusion.counts)
  rows = []
  for cell in np.argsort(-mistakes, kind='stable')[:_MAX_PAIRS]:
    count, label = mistakes[cell], confusion.labels[cell]
    if count:
      true, guess = names[label], names[confusion.predictions[cell]]
      true, guess = (_text(report_plots.short(name, 40)) for name in (true, guess))
      rows.append([true, guess, f'{count:,}', f'{count / totals[label]:.1%}'])
  if not rows:
    return '<div class="plot"><h3>Most frequent mistakes</h3><p>There are none.</p></div>'
  heads = [('true', 'text'), ('predicted', 'text'), ('times', ''), ('share', '')]
  return f'<div class="plot"><h3>Most frequent mistakes</h3>{_table(heads, rows, "")}</div>'


def _classes(predicted, assessment):
  """Returns the table by class, or by target."""
  columns = assessment.classes
  names = predicted.class_names
  order, words = np.arange(len(names)), ''
  if len(names) > _MAX_CLASS_ROWS and 'f1' in columns:
    order = order[columns['examples'] > 0]
    order = order[np.argsort(columns['f1'][order], kind='stable')][:_MAX_CLASS_ROWS]
    words = (
      f'<p class="pale">The {len(order)} of {len(names):,} classes with the smallest F1; all are in'
      ' per_class.csv.</p>'
    )
  if predicted.task == 'regression':
    shown = ('mae', 'rmse', 'r2', 'mean_error', 'max_error', 'correlation')
    narrow = ('mae', 'rmse', 'r2')
  else:
    shown = ('examples', 'predicted', 'precision', 'recall', 'f1', 'roc_auc', 'average_precision')
    narrow = ('examples', 'precision', 'recall')
  heads = [('', 'text')]
  heads += [(_title(name), '' if name in narrow else 'wide') for name in shown]
  rows = []
  for index in order:
    cells = [_text(names[index])]
    for name in shown:
      value = columns[name][index].item()
      cell = _format(value) if isinstance(value, int) or name not in _SHARES else _percent(value)
      if name == 'recall' and columns['recall_low'][index] == columns['recall_low'][index]:
        low, high = columns['recall_low'][index], columns['recall_high'][index]
        cell += f'<br><span class="range">{low:.0%} to {high:.0%}</span>'
      cells.append(cell)
    rows.append(cells)
  if predicted.task != 'regression':
    words += (
      '<p class="pale small">Precision: of what was given the class, the share that has it. Recall:'
      ' of what has the class, the share that was given it, with its 95% interval.</p>'
    )
  return words + _table(heads, rows)


_SHARES = ('precision', 'recall', 'f1')


def _percent(value):
  return '-' if value != value else f'{value:.1%}'


def _slices(slices):
  names = [name for name in slices[0] if name not in ('slice', 'low', 'high')]
  heads = [('', 'text'), *((_title(name), '') for name in names)]
  rows = []
  for row in sorted(slices, key=lambda row: -row['examples'])[:_MAX_SLICES]:
    cells = [_text(row['slice'] or '(nothing)')]
    for place, name in enumerate(names):
      cell = _format(row[name])
      if place == 1:
        cell += f'<br><span class="range">{_format(row["low"])} to {_format(row["high"])}</span>'
      cells.append(cell)
    rows.append(cells)
  words = ''
  if len(slices) > _MAX_SLICES:
    words = (
      f'<p class="pale">The {_MAX_SLICES} of {len(slices):,} values with the most examples; all are'
      ' in eval.json.</p>'
    )
  return words + _table(heads, rows)


def _pictures(pictures):
  boxes = []
  for picture in pictures:
    shown = _encode(picture.image) if picture.image else ''
    first, *rest = map(_text, picture.lines)
    lines = '<br>'.join([f'<b class="wrong">{first}</b>', *rest])
    boxes.append(
      f'<div class="picture">{shown}{lines}<br><span class="pale">{_text(picture.source)}</span>'
      '</div>'
    )
  return f'<div class="pictures">{"".join(boxes)}</div>'


def _encode(image):
  """Returns an image as HTML: a small one as it is, a photograph small and as JPEG."""
  encoded = io.BytesIO()
  if max(image.size) <= _SMALL_SIDE:
    image.save(encoded, 'PNG')
    return _image(encoded.getvalue(), 'pixels')
  image = image.copy()
  image.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
  image.save(encoded, 'JPEG', quality=80)
  return _image(encoded.getvalue(), kind='jpeg')


def _facts(facts):
  rows = [[_text(name), value] for name, value in facts.items() if value]
  body = ''.join(
    f'<tr><th class="text">{name}</th><td class="text">{_text(value)}</td></tr>'
    for name, value in rows
  )
  return f'<div class="sheet facts"><table>{body}</table></div>'


def command(words):
  """Returns a command line as one types it."""
  return ' '.join(map(shlex.quote, words))


def now():
  """Returns the time, in UTC, as text."""
  return datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC')
