"""Pages of small pictures for a person to look over."""

import io
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from datasets import user_files
from slimcompat import escapes

PAGE_WIDTH = 1400  # Pixels.
TILE_SIDE = 84
MARGIN = 30
GAP = 5
INK = '#222222'
PALE_INK = '#666666'
GROUND = '#ffffff'
_TILE_GROUND = '#eeeeee'
_FRAME_WIDTH = 4
_TITLE_SIZE, _TEXT_SIZE, _CAPTION_SIZE = 22, 15, 12
_MAX_ENLARGEMENT = 8


class Tile(NamedTuple):
  """A picture on a page."""

  picture: Image.Image | None  # None leaves the place free.
  frame: str | None = None  # A colour.
  caption: str = ''  # Of one line or more.


class Block(NamedTuple):
  """A part of a page, under a title of its own."""

  title: str
  text: tuple[str, ...] = ()  # Lines under the title.
  rows: tuple[tuple[Tile, ...], ...] = ()
  image: Image.Image | None = None  # Shown as it is.


def write(path, blocks, tile_side=TILE_SIDE):
  """Draws a page of Blocks into the PNG file `path`."""
  encoded = io.BytesIO()
  _page(blocks, tile_side).save(encoded, 'PNG')
  user_files.write_atomically(path, encoded.getvalue())


def _page(blocks, tile_side):
  """Returns the image of a page, PAGE_WIDTH pixels wide, or wider if a row of tiles is."""
  parts = [part for block in blocks for part in _parts(block, tile_side)]
  width = max(PAGE_WIDTH, *(part.width + 2 * MARGIN for part, _ in parts))
  height = sum(part.height + space for part, space in parts) + 2 * MARGIN
  result = Image.new('RGB', (width, height), GROUND)
  top = MARGIN
  for part, space in parts:
    top += space
    result.paste(part, (MARGIN, top))
    top += part.height
  return result


def num_columns(tile_side=TILE_SIDE):
  """Returns how many tiles fit next to each other."""
  return (PAGE_WIDTH - 2 * MARGIN + GAP) // (tile_side + GAP)


def in_rows(tiles, tile_side=TILE_SIDE):
  """Returns the tiles as rows that fit the page."""
  step = num_columns(tile_side)
  return tuple(tuple(tiles[begin : begin + step]) for begin in range(0, len(tiles), step))


def _parts(block, tile_side):
  """Yields the images that a block is made of, and the space above each."""
  if block.title:
    yield _text_image([block.title], _TITLE_SIZE, INK), 26
  if block.text:
    yield _text_image(block.text, _TEXT_SIZE, PALE_INK), 4
  if block.image is not None:
    yield block.image, 4
  for number, row in enumerate(block.rows):
    yield _row_image(row, tile_side), GAP if number else 8


def _row_image(row, side):
  captions = [tile.caption.splitlines() for tile in row]
  line_height = _CAPTION_SIZE + 3
  num_lines = max(map(len, captions))
  width = len(row) * (side + GAP) - GAP
  image = Image.new('RGB', (width, side + num_lines * line_height + 2 * (num_lines > 0)), GROUND)
  draw = ImageDraw.Draw(image)
  font = ImageFont.load_default(_CAPTION_SIZE)
  for index, (tile, lines) in enumerate(zip(row, captions, strict=True)):
    left = index * (side + GAP)
    if tile.picture is not None:
      image.paste(_tile_image(tile, side), (left, 0))
    for number, line in enumerate(lines):
      draw.text((left, side + 2 + number * line_height), _shortened(line, font, side), INK, font)
  return image


def _tile_image(tile, side):
  """Returns the picture whole, in the middle of a square."""
  inner = side - 2 * _FRAME_WIDTH
  width, height = tile.picture.size
  scale = min(inner / max(width, height), _MAX_ENLARGEMENT)
  size = (max(1, round(width * scale)), max(1, round(height * scale)))
  # Pixels stay visible where a picture is enlarged.
  resampling = Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST
  picture = tile.picture.convert('RGB').resize(
    size, resampling, reducing_gap=2 if scale < 1 else None
  )
  image = Image.new('RGB', (side, side), _TILE_GROUND)
  if tile.frame:
    ImageDraw.Draw(image).rectangle(
      (0, 0, side - 1, side - 1), outline=tile.frame, width=_FRAME_WIDTH
    )
  image.paste(picture, ((side - size[0]) // 2, (side - size[1]) // 2))
  return image


def _text_image(lines, font_size, color):
  font = ImageFont.load_default(font_size)
  lines = [_shortened(line, font, PAGE_WIDTH - 2 * MARGIN) for line in lines]
  line_height = round(font_size * 1.35)
  image = Image.new('RGB', (PAGE_WIDTH - 2 * MARGIN, line_height * len(lines)), GROUND)
  draw = ImageDraw.Draw(image)
  for number, line in enumerate(lines):
    draw.text((0, number * line_height), line, color, font)
  return image


def _shortened(line, font, width):
  """Returns the line, or as much of its beginning as `width` pixels hold."""
  line = escapes.for_console(line, keeps_lines=False)
  if font.getlength(line) <= width:
    return line
  while line and font.getlength(line + '...') > width:
    line = line[:-1]
  return line + '...'
