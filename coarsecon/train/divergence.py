"""What to do about a loss that is not finite: it depends on whether any step had a finite one."""

from coarsecon.errors import CoarseconError


def diverged(loss: float, step: int, *, from_the_start: bool) -> CoarseconError:
    """The error for a loss that is NaN or infinite at `step`.

    Args:
        loss: The loss, or its mean over some steps.
        step: Number of finished steps.
        from_the_start: Whether the loss of the first step was not finite either, before any weight was updated.
    """
    if from_the_start:
        return CoarseconError(
            f"the loss is {loss} from the first step, before the learning rate had any effect: check the images "
            "(coarsecon data check), the weights and temperatures that the run starts with, and run.precision=float32"
        )
    return CoarseconError(f"the loss is {loss} at step {step} and was finite before; lower optimizer.lr")
