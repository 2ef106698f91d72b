"""The network, its loss, its data and its training.

`config`, `loader` and `augment` need no Keras; the other modules import it, and with it TensorFlow.
"""

import os

# Both are read once, at the first import of Keras and of TensorFlow, so they must stand before any module of this
# package gets there. What the user has set stays.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
