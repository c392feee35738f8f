"""MobileNet's second and third versions; `mobilenet_v1` stands beside this package."""
