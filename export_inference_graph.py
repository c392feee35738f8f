"""Exports a net: a trained one in a format that other programs run, or its graph alone.

python export_inference_graph.py --checkpoint_path=/tmp/digits --format=saved_model \\
    --output_file=/tmp/digits_model
python export_inference_graph.py --model_name=mobilenet_v1 --output_file=/tmp/mobilenet_v1.pb
"""

from slimtrain import export, settings

if __name__ == '__main__':
  settings.run(export.ExportSettings(), export.export_inference_graph, export.complete)
