"""Lists as others write them: understood where there is one way to, else refused with the line."""

import json

import pytest

from datasets import image_sources, survey_sources
from slimcompat import errors


def read(tmp_path, text, task='single_label', files=(), name='list.csv', **options):
  for file_name in files:
    (tmp_path / file_name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file_name).touch()
  content = text if isinstance(text, bytes) else text.encode()
  (tmp_path / name).write_bytes(content)
  return image_sources.read_list(str(tmp_path / name), task, **options)


def found(source):
  """Returns {path: name of its class, or names}."""
  names = source.class_names
  return {
    file.name: tuple(names[label] for label in file.label)
    if isinstance(file.label, tuple)
    else names[file.label]
    for files in source.splits.values()
    for file in files
  }


HEADERS = (
  *('image_id,label', 'ImageId,Class', 'filename,label', 'file_name,class', 'Image,Id', 'id,breed'),
  *('id_code,diagnosis', 'FILE NAME,Category', '"image","label"', '#path,label', 'photo,label'),
  *('image-path,class name', 'img,species', 'Image_ID,Target', 'name,labels', 'index,label'),
)


@pytest.mark.parametrize('header', HEADERS)
@pytest.mark.parametrize('kind', ['csv', 'semicolon', 'tab', 'jsonl', 'array'])
def test_headers(kind, header, tmp_path):
  """Numbers are sorted as such: a header that became a class would make them text."""
  rows = [('a.jpg', '10'), ('b.jpg', '9'), ('c.jpg', '-1')]
  if kind in ('jsonl', 'array'):
    if header in ('photo,label', 'index,label'):
      return  # An object has no columns that are left over.
    keys = [key.strip('"#') for key in header.split(',')]
    objects = [dict(zip(keys, row, strict=True)) for row in rows]
    text = json.dumps(objects) if kind == 'array' else '\n'.join(map(json.dumps, objects))
  else:
    text = '\n'.join([header, *map(','.join, rows)])
    text = text.replace(',', {'csv': ',', 'semicolon': ';', 'tab': '\t'}[kind])
  if header == 'index,label':
    with pytest.raises(errors.InputError, match='has the columns index, label'):
      read(tmp_path, text)
    return
  name = {'array': 'list.json', 'jsonl': 'list.jsonl'}.get(kind, 'list.csv')
  source = read(tmp_path, text, name=name)
  assert source.class_names == ('-1', '9', '10')
  assert found(source) == dict(rows)


TWO = {'a.jpg': 'x', 'b.jpg': 'y'}
# The text, and what is understood if it is not TWO.
FORMS = {
  'index of pandas': (',path,label\n0,a.jpg,x\n1,b.jpg,y\n', TWO),
  'saved index': ('Unnamed: 0,path,label\n0,a.jpg,x\n1,b.jpg,y\n', TWO),
  'label first': ('label,path\nx,a.jpg\ny,b.jpg\n', TWO),
  'label first, no header': ('x,a.jpg\ny,b.jpg\n', TWO),
  'other columns': ('filename,width,height,class\na.jpg,3,4,x\nb.jpg,3,4,y\n', TWO),
  'two paths': ('id,filename,breed\n0,a.jpg,x\n1,b.jpg,y\n', TWO),
  'one-hot': ('filename, x, y\na.jpg, 1, 0\nb.jpg, 0, 1\n', TWO),
  'one-hot of floats': ('image,x,y\na.jpg,1.0,0.0\nb.jpg,0.0,1.0\n', TWO),
  'semicolons': ('a.jpg;x\nb.jpg;y\n', TWO),
  'comma in a path': ('a,1.jpg;x\nb,2.jpg;y\n', {'a,1.jpg': 'x', 'b,2.jpg': 'y'}),
  'tabs': ('a b.jpg\tx y\nb.jpg\ty\n', {'a b.jpg': 'x y', 'b.jpg': 'y'}),
  'pipes': ('path|label\na.jpg|x\nb.jpg|y\n', TWO),
  'spreadsheet': ('sep=;\r\npath;label\r\na.jpg;x\r\nb.jpg;y\r\n', TWO),
  'old mac': ('path,label\ra.jpg,x\rb.jpg,y\r', TWO),
  'caffe': ('a.jpg 0\nmy cat.jpg 1\n', {'a.jpg': '0', 'my cat.jpg': '1'}),
  'caffe of words': ('a.jpg big dog\nb.png cat\n', {'a.jpg': 'big dog', 'b.png': 'cat'}),
  'caffe with a header': ('path label split\na.jpg x train\nb.jpg y val\n', TWO),
  'windows': (
    'path,label\nimgs\\a.jpg,x\nb.jpg,y\n',
    {'imgs/a.jpg': 'x', 'b.jpg': 'y'},
  ),
  'utf-16': ('path,label\na.jpg,x\nb.jpg,ü\n'.encode('utf-16'), {'a.jpg': 'x', 'b.jpg': 'ü'}),
  'bom': ('\ufeffimage_id,label\na.jpg,x\nb.jpg,y\n', TWO),
  'header again': ('path,label\na.jpg,x\npath,label\nb.jpg,y\n', TWO),
  'trailing commas': ('path,label,\na.jpg,x,\nb.jpg,y,\n', TWO),
  'quotes': ('"a,1.jpg","big, dog"\n"b.jpg","""y"""\n', {'a,1.jpg': 'big, dog', 'b.jpg': '"y"'}),
  'spaces before quotes': (
    'path, label\na.jpg, "x, z"\nb.jpg, y\n',
    {'a.jpg': 'x, z', 'b.jpg': 'y'},
  ),
  'json lines in csv': ('{"path":"a.jpg","label":"x"}\n{"path":"b.jpg","label":["y"]}\n', TWO),
  'bytes of names': (b'caf\xe9.jpg,x\nb.jpg,y\n', {'caf\udce9.jpg': 'x', 'b.jpg': 'y'}),
}


@pytest.mark.parametrize('name', FORMS)
def test_forms(name, tmp_path):
  text, expected = FORMS[name]
  assert found(read(tmp_path, text)) == expected
  assert len(survey_sources.read_list(str(tmp_path / 'list.csv'))) == len(expected)


def test_folders_named_like_columns(tmp_path):
  source = read(tmp_path, 'image,label\na.jpg,x\nb.jpg,y\n', files=['image/a.jpg', 'label/a.jpg'])
  assert found(source) == TWO
  assert found(read(tmp_path, 'image,breed\na.jpg,x\nb.jpg,y\n', files=['image.jpg'])) == TWO


def test_a_backslash_that_is_part_of_a_name(tmp_path):
  source = read(tmp_path, 'a\\1.jpg,x\nb.jpg,y\n', files=['a\\1.jpg'])
  assert found(source) == {'a\\1.jpg': 'x', 'b.jpg': 'y'}


@pytest.mark.parametrize(
  ('names', 'options', 'expected'),
  [
    (['a.jpg', 'b.JPG'], {}, ['a.jpg', 'b.JPG']),
    (['a.png', 'b.webp'], {}, ['a.png', 'b.webp']),
    (['a.jpg', 'a.png', 'b.jpg'], {'image_suffix': '.jpg'}, ['a.jpg', 'b.jpg']),
    (['a.jpg', 'a.png', 'b.jpg'], {'image_suffix': 'png'}, ['a.png', 'b.png']),
    (['a_s.jpg', 'b_s.jpg'], {'image_suffix': '_s.jpg'}, ['a_s.jpg', 'b_s.jpg']),
    (['a', 'a.jpg', 'b'], {}, ['a', 'b']),
    (['a.jpg', 'a.txt', 'b.jpg'], {}, ['a.jpg', 'b.jpg']),
  ],
  ids=str,
)
@pytest.mark.parametrize('kind', ['header', 'no header', 'jsonl'])
@pytest.mark.parametrize('folder', ['', 'train/'])
def test_names_without_endings(folder, kind, names, options, expected, tmp_path):
  rows = [(f'{folder}a', 'x'), (f'{folder}b', 'y')]
  text = '\n'.join(map(','.join, [('id', 'breed')] * (kind == 'header') + rows))
  if kind == 'jsonl':
    text = '\n'.join(json.dumps({'image_id': path, 'label': label}) for path, label in rows)
  files = [folder + name for name in names]
  source = read(tmp_path, text, files=files, name=f'list.{kind}', **options)
  assert sorted(found(source)) == [folder + name for name in expected]


@pytest.mark.parametrize('kind', ['csv', 'jsonl'])
@pytest.mark.parametrize(
  ('column', 'values', 'expected'),
  [
    ('split', ['train', '', 'val'], {'train': 2, 'validation': 1}),
    ('split', ['Train', 'nan', 'TEST'], {'train': 2, 'test': 1}),
    ('Set', ['training', 'None', 'dev'], {'train': 2, 'validation': 1}),
    ('subset', ['train', 'train', 'testing'], {'train': 2, 'test': 1}),
    ('fold', ['train', 'train', 'val'], {'train': 2, 'validation': 1}),
    ('fold', ['0', '1', '2'], None),
    ('usage', ['a', 'b', 'c'], None),
    ('split', ['', '', ''], None),
  ],
  ids=str,
)
def test_splits(kind, column, values, expected, tmp_path):
  if kind == 'csv':
    lines = [f'{index}.jpg,{"xy"[index % 2]},{value}' for index, value in enumerate(values)]
    text = '\n'.join([f'path,label,{column}', *lines])
  else:
    rows = [
      {'path': f'{index}.jpg', 'label': 'xy'[index % 2], column: value or None}
      for index, value in enumerate(values)
    ]
    text = '\n'.join(map(json.dumps, rows))
  source = read(tmp_path, text, name=f'list.{kind}')
  assert source.has_splits == bool(expected)
  if expected:
    assert {split: len(files) for split, files in source.splits.items()} == expected


@pytest.mark.parametrize(
  ('labels', 'expected'),
  [
    (['-1', '1', '10', '2'], ('-1', '1', '2', '10')),
    (['1.0', '0.5', '10', '-2.5'], ('-2.5', '0.5', '1.0', '10')),
    (['1e2', '+3', '20'], ('+3', '20', '1e2')),
    (['10', '9', 'other'], ('10', '9', 'other')),
    (['00', '01', '10'], ('00', '01', '10')),
  ],
  ids=str,
)
def test_numeric_labels(labels, expected, tmp_path):
  text = 'path,label\n' + ''.join(f'{index}.jpg,{label}\n' for index, label in enumerate(labels))
  assert read(tmp_path, text).class_names == expected


# The text, the task, and what is said.
REFUSED = {
  'unknown header': ('foo,bar\na.jpg,x\nb.jpg,y\n', 'single_label', 'Line 1 .* columns foo, bar,'),
  'two labels': ('path,class_id,class_name\na.jpg,0,x\n', 'single_label', 'class_id, class_name'),
  'no label': ('image_id,age,sex\na.jpg,3,f\nb.jpg,4,m\n', 'single_label', 'image_id, age, sex'),
  'no label in json': (
    '{"id":"a.jpg","age":3,"sex":"f"}',
    'single_label',
    'Line 1 .* keys id, age',
  ),
  'empty label': (
    'path,label\na.jpg,x\nb.jpg,\n',
    'single_label',
    "Line 3 .* is 'b.jpg,'; it must",
  ),
  'null label': ('{"path":"a.jpg","label":null}', 'single_label', 'Line 1 .* JSON object'),
  'nan label': ('{"path":"a.jpg","label":NaN}', 'single_label', 'Line 1 .* JSON object'),
  'object label': ('{"path":"a.jpg","label":{"x":1}}', 'single_label', 'Line 1 .* JSON object'),
  'null path': ('{"path":null,"label":"x"}', 'single_label', 'Line 1 .* JSON object'),
  'two in one-hot': ('path,x,y\na.jpg,1,0\nb.jpg,1,1\n', 'single_label', 'Line 3 .*multi_label'),
  'caffe of several': ('a.jpg 0 3\nb.jpg 1 4\n', 'single_label', 'Line 1 .*multi_label'),
  'several cells': ('a.jpg;x;y\nb.jpg;x;y\n', 'multi_label', 'Line 1 .* separated by semicolons'),
  'short row': ('path,left,top\na.jpg,1,2\nb.jpg,1\n', 'regression', 'Line 3 .* has 3'),
  'no number': ('path,left\na.jpg,1\nb.jpg,\n', 'regression', 'Line 3 .* numbers'),
  'unknown columns of numbers': ('foo,left\na.jpg,1\n', 'regression', 'columns foo, left'),
  'a line in a label': ('a.jpg,"z\n0:evil"\nb.jpg,y\n', 'single_label', 'control characters'),
  'one in json': ('{"path":"a","label":"z\\n0:evil"}', 'single_label', 'control characters'),
  'a code for terminals': ('a.jpg,\x1b[31mx\nb.jpg,y\n', 'single_label', r'\\x1b'),
  'a line in a column': ('path,"a\n0:evil"\na.jpg,1\n', 'regression', 'control characters'),
  'half a surrogate': ('{"path":"\\ud800.jpg","label":"x"}', 'single_label', 'cannot be a path'),
  'a zero byte': ('{"path":"a\\u0000.jpg","label":"x"}', 'single_label', 'has a zero byte'),
  'utf-16 without bom': ('a.jpg,x\n'.encode('utf-16-le'), 'single_label', 'in UTF-8'),
  'latin-1 label': (b'a.jpg,caf\xe9\nb.jpg,y\n', 'single_label', 'in UTF-8'),
  'coco': ('{"images": [], "annotations": []}', 'single_label', 'Line 1 .* JSON object'),
  'no csv': ('path,label\n' + 'a' * 200_000 + ',x\n', 'single_label', 'Line 2 .* is not CSV'),
  'headers only': ('image_id,label\n', 'single_label', 'names no image'),
}


@pytest.mark.parametrize('name', REFUSED)
def test_refused(name, tmp_path):
  text, task, sentence = REFUSED[name]
  with pytest.raises(errors.InputError, match=f'(?s){sentence}'):
    read(tmp_path, text, task)


def test_several_files_of_a_name(tmp_path):
  sentence = r'Line 2 of .*: a stands for a.jpg, a.png; say which by --image_suffix'
  with pytest.raises(errors.InputError, match=sentence):
    read(tmp_path, 'id,breed\na,x\nb,y\n', files=['a.png', 'a.jpg', 'b.jpg'])


def test_several_labels(tmp_path):
  expected = {'a.jpg': ('x', 'y'), 'b.jpg': (), 'c.jpg': ('y',)}
  for text in (
    'image_id,labels\na.jpg,x;y\nb.jpg,\nc.jpg,y\n',
    'filename,x,y\na.jpg,1,1\nb.jpg,0,0\nc.jpg,0,1\n',
    '{"id":"a.jpg","tags":["x","y"]}\n{"id":"b.jpg","tags":null}\n{"id":"c.jpg","tags":"y"}\n',
  ):
    assert found(read(tmp_path, text, 'multi_label')) == expected


def test_numbers_of_json_by_their_keys(tmp_path):
  text = '{"path":"a.jpg","x":1,"y":2}\n{"path":"b.jpg","y":4,"x":3}\n'
  source = read(tmp_path, text, 'regression', name='list.jsonl')
  labels = {file.name: file.label for files in source.splits.values() for file in files}
  assert labels == {'a.jpg': (1, 2), 'b.jpg': (3, 4)}


def test_names_of_numbers(tmp_path):
  text = ',id,image_path,Age,split,Weight\n0,7,a.jpg,1,train,2\n1,8,b.jpg,3,val,4\n'
  assert read(tmp_path, text, 'regression').class_names == ('age', 'weight')
