"""Networks of one or six channels, beside priors and a refinement that see RGB."""

from torch import Tensor

from pellucid.errors import ModelError

__all__ = ["as_rgb", "restored_channels", "with_channels"]


def as_rgb(image: Tensor) -> Tensor:
    """What the prior and R see of an image: (B, C, H, W) to (B, 3, H, W).

    RGB is seen as it is, and grey repeated. Of the two views of a dual-pixel sensor, six channels, they see the mean:
    each view is the light of one half of the lens, and their mean is the picture that the camera itself makes.

    Raises:
        ModelError: neither 1, 3 nor 6 channels.
    """
    channels = image.shape[1] if image.ndim == 4 else 0
    if channels == 3:
        return image
    if channels == 1:
        return image.expand(-1, 3, -1, -1)
    if channels == 6:
        return (image[:, :3] + image[:, 3:]) / 2
    raise ModelError(
        "a boosted network takes RGB (B, 3, H, W), grey (B, 1, H, W) or the two views of a dual-pixel sensor (B, 6, H, "
        "W), "
        f"got {tuple(image.shape)}"
    )


def restored_channels(channels: int) -> int:
    """Channels of the image that a network restores from one of so many: two views become one picture."""
    return 3 if channels == 6 else channels


def with_channels(refined: Tensor, channels: int) -> Tensor:
    """A refined image (B, 3, H, W) with the channels of the restored one: the mean over the colours for grey."""
    return refined.mean(1, keepdim=True) if channels == 1 else refined
