"""Writes the graph of a net, without weights, to a file.

python export_inference_graph.py --model_name=mobilenet_v1 --output_file=/tmp/mobilenet_v1.pb
"""

from slimtrain import export, settings

if __name__ == '__main__':
  settings.run(export.ExportSettings(), export.export_inference_graph)
