"""The plots of a report, as PNG files, drawn with matplotlib."""

import io
import warnings
from typing import NamedTuple

import numpy as np

from slimcompat import escapes
from slimtrain import assessment, figures

_WIDTH = 4.4  # Inches; they are shown at about 100 pixels each, and as narrow as 340 pixels in all.
_DPI = 180
_COLORS = ('#3b6fb0', '#e07b27', '#4c9a52', '#a25aa6', '#8a6d4f', '#c2433f')
_PALE = '#8a8a8a'
_MAX_NAMED = 12  # Classes in a confusion matrix whose cells can be read.
_MAX_CURVES = 5  # Classes with a curve of their own.
_NUM_LOWEST = 3  # Of more classes, those with the smallest areas have one, beside the mean.
_MAX_NAME = 16  # Letters.
_MAX_POINTS = 4000  # Of a scatter plot.
_MAX_TARGETS = 6
_MAX_METRICS = 3  # Whose values while training are drawn.
_MAX_STEPS = 800  # Points of a curve by step.


class Plot(NamedTuple):
  """A picture and what it says."""

  title: str
  text: str  # How to read it, a sentence or two.
  png: bytes


def is_possible():
  """Returns whether matplotlib is installed."""
  try:
    import matplotlib  # noqa: F401
  except ImportError:
    return False
  return True


def _draw(title, text, height, draw, num_axes=1, **layout):
  """Returns the Plot of what `draw` draws on its axes, `height` inches high."""
  import matplotlib
  from matplotlib import figure

  # Names of classes are no formulas.
  style = {'text.parse_math': False, 'font.size': 10, 'axes.titlesize': 10}
  with matplotlib.rc_context(style), warnings.catch_warnings():
    warnings.filterwarnings('ignore', 'Glyph .* missing')
    plot = figure.Figure((_WIDTH, height), dpi=_DPI, layout='constrained')
    axes = plot.subplots(num_axes, squeeze=False, **layout)[:, 0]
    for axis in axes:
      axis.spines[['top', 'right']].set_visible(False)
    draw(*axes)
    encoded = io.BytesIO()
    plot.savefig(encoded, format='png')
  return Plot(title, text, encoded.getvalue())


def short(name, length=_MAX_NAME):
  """Returns a class name, cut where it is long."""
  name = escapes.for_console(name, keeps_lines=False)
  return name if len(name) <= length else name[: length - 1] + '…'


def draw_confusion(confusion, names):
  """Yields the Plots of a figures.Confusion."""
  num_classes = len(names)
  if num_classes > _MAX_NAMED:
    yield _draw_whole_confusion(confusion)
    mistakes = confusion.support + confusion.given - 2 * confusion.right
    chosen = np.sort(np.argsort(-mistakes)[:_MAX_NAMED])
    title = f'The {_MAX_NAMED} classes with the most mistakes'
  else:
    chosen, title = np.arange(num_classes), 'Confusion matrix'
  cells = confusion.part(chosen)
  shares = cells / np.maximum(confusion.support[chosen, None], 1)
  labels = [short(names[index]) for index in chosen]

  def draw(axis):
    axis.imshow(shares, cmap='Blues', vmin=0, vmax=1)
    size = 9 if len(chosen) <= 10 else 8
    for row, column in np.argwhere(cells > 0):
      color = 'white' if shares[row, column] > 0.5 else 'black'
      text = _counted(cells[row, column])
      axis.text(column, row, text, ha='center', va='center', color=color, fontsize=size)
    is_wide = max(map(len, labels)) > 2
    axis.set_xticks(range(len(chosen)), labels, rotation=90 if is_wide else 0)
    axis.set_yticks(range(len(chosen)), labels)
    axis.set(xlabel='predicted', ylabel='true')
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)

  text = 'A row for each true class; darker is a larger share of its examples.'
  yield _draw(title, text, 4.6, draw)


def _counted(number):
  """Returns a number in at most four letters or so."""
  return f'{number / 1000:.0f}k' if number >= 10_000 else str(number)


def _draw_whole_confusion(confusion):
  num_classes = confusion.num_classes
  shares = _largest_shares(confusion, 300)

  def draw(axis):
    # The root: small shares, which mistakes are, would not be seen. Of many classes, the largest
    # of the cells that fall on a pixel.
    image = axis.imshow(
      np.sqrt(shares),
      cmap='Blues',
      vmin=0,
      vmax=1,
      extent=(0, num_classes, num_classes, 0),
      interpolation='nearest',
    )
    bar = axis.figure.colorbar(image, ax=axis, shrink=0.8)
    ticks = np.array([0, 0.01, 0.1, 0.25, 0.5, 1])
    bar.set_ticks(np.sqrt(ticks), labels=[f'{tick:.0%}' for tick in ticks])
    axis.set(xlabel='predicted, by number', ylabel='true, by number')

  text = 'All classes. Off the diagonal lie mistakes; the colour is the share of the true class.'
  return _draw('Confusion matrix', text, 3.8, draw)


def _largest_shares(confusion, side):
  """Returns the shares of the true classes, `[rows, rows]`, with about `side` rows at most.

  Where classes share a row or column, the largest of their shares counts.
  """
  step = -(-confusion.num_classes // side)
  num_rows = -(-confusion.num_classes // step)
  shares = np.zeros((num_rows, num_rows))
  cells = (confusion.labels // step, confusion.predictions // step)
  np.maximum.at(shares, cells, confusion.counts / confusion.support[confusion.labels])
  return shares


def draw_curves(predicted, assessed):
  """Returns the Plots of the ROC and of precision by recall.

  Args:
    predicted: Predictions of classes.
    assessed: their Assessment.
  """
  names = predicted.class_names
  numbers = [1] if len(names) == 2 and predicted.task == 'single_label' else range(len(names))
  plots = []
  for key, curve_of, title, labels in (
    (assessment.ROC_AUC, figures.roc_curve, 'ROC', ('false positive rate', 'true positive rate')),
    (
      assessment.AVERAGE_PRECISION,
      figures.precision_recall_curve,
      'Precision by recall',
      ('recall', 'precision'),
    ),
  ):
    areas = assessed.classes[key]
    shown = sorted((n for n in numbers if np.isfinite(areas[n])), key=areas.__getitem__)
    if not shown:
      continue
    text = 'The number before a name is the area below its curve; 1 is the best.'
    lines = []
    if len(shown) > _MAX_CURVES:
      text = f'The mean of {len(shown)} classes, and those with the smallest areas. {text}'
      label = f'{areas[shown].mean():.3f}  mean'
      lines.append((assessment.GRID, assessed.mean_curves[key], label))
      shown = shown[:_NUM_LOWEST]
    elif len(numbers) == 1:
      text = f'Of the class {names[1]}, against {names[0]}. {text}'
    for number in shown:
      curve = curve_of(
        assessment.scores(predicted, number), assessment.positives(predicted, number)
      )
      x, y = curve.x, curve.y
      if key == assessment.AVERAGE_PRECISION:
        x, y = np.append(0, x), np.append(y[0], y)
      lines.append((x, y, f'{curve.area:.3f}  {short(names[number], 24)}'))
    plots.append(_draw_lines(title, text, lines, labels, is_roc=key == assessment.ROC_AUC))
  return plots


def _draw_lines(title, text, lines, labels, is_roc):
  def draw(axis):
    if is_roc:
      axis.plot([0, 1], [0, 1], color=_PALE, linewidth=1, linestyle='--')
    for (x, y, label), color in zip(lines, ('#222222', *_COLORS), strict=False):
      style = 'default' if is_roc else 'steps-pre'
      axis.plot(x, y, color=color, label=label, linewidth=1.8, drawstyle=style)
    axis.set(xlabel=labels[0], ylabel=labels[1], xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axis.figure.legend(loc='outside lower center', frameon=False, fontsize=9)

  return _draw(title, text, 3.6 + 0.19 * len(lines), draw)


def draw_calibration(calibration):
  """Returns the Plot of a figures.Calibration."""
  edges, counts = calibration.edges, calibration.counts
  filled = counts > 0

  def draw(upper, lower):
    upper.plot([0, 1], [0, 1], color=_PALE, linewidth=1, linestyle='--')
    widths = np.diff(edges)
    upper.bar(
      edges[:-1][filled],
      calibration.accuracy[filled],
      widths[filled],
      align='edge',
      color=_COLORS[0],
      alpha=0.35,
      edgecolor='white',
    )
    upper.plot(
      calibration.confidence[filled],
      calibration.accuracy[filled],
      marker='o',
      markersize=4,
      color=_COLORS[0],
      clip_on=False,
    )
    upper.set(ylabel='share that is right', xlim=(0, 1), ylim=(0, 1))
    lower.bar(edges[:-1], counts, widths, align='edge', color=_PALE, edgecolor='white')
    lower.set(xlabel='probability of the prediction', ylabel='how many')
    lower.ticklabel_format(axis='y', style='plain')

  text = (
    f'Points below the dashed line are too sure of themselves, above it not sure enough; expected'
    f' calibration error {calibration.error:.3f}.'
  )
  return _draw(
    'Reliability', text, 4.2, draw, num_axes=2, sharex=True, gridspec_kw={'height_ratios': (3, 1)}
  )


def draw_targets(guesses, targets, names):
  """Yields, for the first few targets, the Plot of guesses `[examples, targets]` by the truth."""
  chosen = slice(None)
  if len(guesses) > _MAX_POINTS:
    chosen = np.random.RandomState(0).choice(len(guesses), _MAX_POINTS, replace=False)
  for index, name in enumerate(names[:_MAX_TARGETS]):
    x, y = targets[chosen, index], guesses[chosen, index]
    errors = guesses[:, index] - targets[:, index]

    def draw(upper, lower, x=x, y=y, errors=errors):
      ends = min(x.min(), y.min()), max(x.max(), y.max())
      upper.plot(ends, ends, color=_PALE, linewidth=1, linestyle='--')
      upper.scatter(x, y, s=9, alpha=0.5, color=_COLORS[0], linewidths=0)
      upper.set(xlabel='true', ylabel='predicted')
      lower.hist(errors, 40, color=_COLORS[0])
      lower.axvline(0, color=_PALE, linewidth=1, linestyle='--')
      lower.set(xlabel='predicted less true', ylabel='examples')

    text = 'Points on the dashed line are right. Below, how often which error occurs.'
    yield _draw(short(name, 40), text, 4.6, draw, num_axes=2, gridspec_kw={'height_ratios': (2, 1)})


def draw_training(records):
  """Yields the Plots of the records of a metrics.jsonl, as run_log.read returns them."""
  steps = [record for record in records if record['kind'] == 'train']
  evaluations = [record for record in records if record['kind'] == 'eval']
  for key, title, text in (
    ('loss', 'Loss in training', 'The total loss, regularization included.'),
    ('learning_rate', 'Learning rate', 'By step.'),
  ):
    line = _thinned([(record['step'], record[key]) for record in steps if key in record])
    if len(line) > 1:
      yield _draw_by_step(title, text, {'': line})
  tags = dict.fromkeys(tag for record in evaluations for tag in record if tag.startswith('eval/'))
  # Those of all targets, before those of one.
  for tag in sorted(tags, key=lambda tag: tag.count('/'))[:_MAX_METRICS]:
    lines = {}
    for record in evaluations:
      if tag in record:
        kind = 'moving averages' if record.get('weights') == 'averages' else 'weights'
        name = f'{kind}, {record.get("split")}'
        lines.setdefault(name, []).append((record['step'], record[tag]))
    lines = {name: _thinned(line) for name, line in lines.items()}
    if max(map(len, lines.values())) > 1:
      yield _draw_by_step(tag.removeprefix('eval/'), 'While training.', lines)


def _thinned(line):
  """Returns (step, value) pairs, of many the means of such as follow each other."""
  line = np.array(line, float).reshape(-1, 2)
  size = -(-len(line) // _MAX_STEPS) or 1
  return np.array([line[start : start + size].mean(axis=0) for start in range(0, len(line), size)])


def _draw_by_step(title, text, lines):
  def draw(axis):
    for (name, line), color in zip(lines.items(), _COLORS, strict=False):
      marker = {'marker': 'o', 'markersize': 3} if len(line) < 40 else {}
      axis.plot(line[:, 0], line[:, 1], label=name or None, color=color, linewidth=1.5, **marker)
    axis.set_xlabel('step')
    axis.grid(axis='y', color='#e6e6e6')
    axis.set_axisbelow(True)
    if len(lines) > 1 or '' not in lines:
      axis.figure.legend(loc='outside lower center', frameon=False, fontsize=9)

  return _draw(title, text, 2.8 + 0.19 * len(lines), draw)
