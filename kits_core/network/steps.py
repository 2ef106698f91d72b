"""Training steps that do not wait for their losses.

Keras's own `train_on_batch` copies each loss to the host before it returns. A graphics card then waits until the next
step is sent. Here a step returns its loss as a tensor, which is read some steps later. Written as Keras's guides write
a training loop of one's own for each backend.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from kits_core.network.backend import keras, ops
from kits_core.network.config import TrainingConfig
from kits_core.network.losses import LOSSES
from kits_core.network.segmentation import DEEP_STRIDES


def loss_weights(config: TrainingConfig) -> list[float]:
    """The weight of each output's loss: each coarser one counts half as much as the one before; their sum is one."""
    shares = [0.5**place for place in range(1 + len(DEEP_STRIDES))] if config.deep_supervision else [1.0]
    return [share / sum(shares) for share in shares]


class Steps(ABC):
    """Steps of one compiled model. Between `begin` and `end` the model's own variables may be out of date."""

    def __init__(self, model: Any, config: TrainingConfig) -> None:
        self._model, self._config = model, config
        self._loss, self._weights = LOSSES[config.loss](config), loss_weights(config)

    @property
    @abstractmethod
    def spares_the_model(self) -> bool:
        """Whether the model stays as it is until `end`, so that it can be saved during the steps that follow."""

    @abstractmethod
    def begin(self) -> None:
        """Call it before the first step of an epoch. It takes over the learning rate of the model's optimizer."""

    @abstractmethod
    def end(self) -> None:
        """Call it after the last step of an epoch. The model then has that step's weights and optimizer state."""

    def step(self, images: Any, labels: Any) -> Sequence[Any]:
        """One step on a batch, in parts of `cases_at_once` whose gradients add up; each part's mean loss, a tensor.

        `images`, `labels`: tensors `(batch, x, y, z, 1)`, float32 and uint8.
        """
        at_once = self._config.cases_at_once
        if len(images) == at_once:
            return [self._step_on(images, labels)]
        starts = range(0, len(images), at_once)
        return [self._step_on(images[start : start + at_once], labels[start : start + at_once]) for start in starts]

    @abstractmethod
    def _step_on(self, images: Any, labels: Any) -> Any:
        """Start the computation of one part; returns its mean loss."""

    def _loss_on(self, labels: Any, outputs: Any) -> Any:
        if not self._config.deep_supervision:
            return self._loss(labels, outputs)
        truths = [labels, *(labels[:, ::stride, ::stride, ::stride] for stride in DEEP_STRIDES)]
        losses = [self._loss(truth, output) for truth, output in zip(truths, outputs, strict=True)]
        return sum(weight * loss for weight, loss in zip(self._weights, losses, strict=True))


class _TensorFlowSteps(Steps):
    """The model's own variables change with every step."""

    spares_the_model = False

    def __init__(self, model: Any, config: TrainingConfig) -> None:
        super().__init__(model, config)
        import tensorflow as tf  # noqa: PLC0415 - only where it is the backend

        def one(images: Any, labels: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = self._loss_on(labels, model(images, training=True))
                scaled = model.optimizer.scale_loss(loss)
            model.optimizer.apply(tape.gradient(scaled, model.trainable_variables), model.trainable_variables)
            return loss

        self._one = one if model.run_eagerly else tf.function(one, jit_compile=False, autograph=False)

    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass

    def _step_on(self, images: Any, labels: Any) -> Any:
        return self._one(images, labels)


class _JaxSteps(Steps):
    """The state is passed from step to step, and each new state reuses the memory of the old one."""

    spares_the_model = True

    def __init__(self, model: Any, config: TrainingConfig) -> None:
        super().__init__(model, config)
        import jax  # noqa: PLC0415 - only where it is the backend

        def loss_of_state(trainable: Any, others: Any, optimizer: Any, images: Any, labels: Any) -> Any:
            outputs, others = model.stateless_call(trainable, others, images, training=True)
            loss = self._loss_on(labels, outputs)
            with keras.StatelessScope(list(zip(model.optimizer.variables, optimizer, strict=True))):
                scaled = model.optimizer.scale_loss(loss)
            return scaled, (loss, others)

        def one(state: Any, images: Any, labels: Any) -> Any:
            trainable, others, optimizer = state
            gradients = jax.grad(loss_of_state, has_aux=True)
            found, (loss, others) = gradients(trainable, others, optimizer, images, labels)
            trainable, optimizer = model.optimizer.stateless_apply(optimizer, found, trainable)
            return (trainable, others, optimizer), loss

        # Without this, the state could come back distributed over the cards that share a batch.
        places = jax.tree.map(lambda variable: variable.value.sharding, self._variables())
        self._one = jax.jit(one, donate_argnums=0, out_shardings=(places, None))
        self._copied = jax.jit(lambda state: jax.tree.map(ops.copy, state), out_shardings=places)
        self._state: Any = None

    def _variables(self) -> tuple[list[Any], list[Any], list[Any]]:
        model = self._model
        return list(model.trainable_variables), list(model.non_trainable_variables), list(model.optimizer.variables)

    def begin(self) -> None:
        self._state = self._copied(tuple([variable.value for variable in group] for group in self._variables()))

    def end(self) -> None:
        for variables, values in zip(self._variables(), self._state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        self._state = None

    def _step_on(self, images: Any, labels: Any) -> Any:
        shared = keras.distribution.distribution()
        if shared is not None:
            place = keras.distribution.distribute_tensor
            images, labels = (place(each, shared.get_data_layout(each.shape)) for each in (images, labels))
        self._state, loss = self._one(self._state, images, labels)
        return loss


def steps_of(model: Any, config: TrainingConfig) -> Steps:
    """Those of the backend. `model`: compiled, with an optimizer that has been built."""
    return (_JaxSteps if keras.backend.backend() == "jax" else _TensorFlowSteps)(model, config)
