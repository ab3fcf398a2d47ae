"""Advice on a loss that is not finite, which depends on whether any step had a finite one."""

from coarsecon.errors import CoarseconError


def diverged(loss: float, step: int, learning_rate_name: str, *, from_the_start: bool) -> CoarseconError:
    """Return the error for a loss that is NaN or infinite at `step`.

    Args:
        loss: The loss, or its mean over some steps.
        step: Number of finished steps.
        learning_rate_name: The setting to lower.
        from_the_start: Whether the loss of the first step was not finite either, before any weight was updated.
    """
    if from_the_start:
        return CoarseconError(
            f"the loss is {loss} from the first step, before the learning rate had any effect",
            hint="check the images (coarsecon data check) and the initial weights and temperatures, or set "
            "run.precision to float32",
        )
    return CoarseconError(
        f"the loss is {loss} at step {step} and was finite before", hint=f"lower {learning_rate_name}"
    )
