"""The network, its loss, its data and its training.

`config`, `loader` and `augment` need no Keras; the other modules take it from `backend`, and with it TensorFlow.
"""
