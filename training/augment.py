"""What happens to patches in training only: drawn for each crop, done to the whole batch at once.

Pixels stay bytes as long as only their places change. A row is one long vector of `3 * width` numbers, or each
colour a plane of its own: both are several times as fast on a CPU as three channels at a time. Steps that only
some crops are drawn for touch only these.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..patches import PatchSpec
from .choices import Augmentation, Choices, draw_choices
from .network import normalise_patches

__all__ = ["apply_choices", "augment"]

# How bright red, green and blue look: ITU-R BT.601.
_LUMA = (0.299, 0.587, 0.114)

# Where a blur's Gaussian is cut off, in pixels: three standard deviations of the widest that is drawn.
_REACH = 6


def augment(
    patches: Tensor,
    spec: PatchSpec,
    augmentation: Augmentation,
    generator: torch.Generator,
    channels_last: bool = True,
) -> Tensor:
    """Change a batch of patches at random, and normalise it.

    Parameters
    ----------
    patches : uint8, (N, H, W, 3)
        RGB, on any device; not changed.
    spec : PatchSpec
        Its mean, std and colour order.
    augmentation : Augmentation
        How much may happen. Where that is nothing, the result is that of `normalise_patches`, bit for bit.
    generator : torch.Generator
        On the CPU, wherever the patches are: the same draws on every device.
    channels_last : bool
        As of `normalise_patches`.

    Returns
    -------
    x : float32, (N, 3, H, W)
        Ready for the network.
    """
    count, height, width, _ = patches.shape
    choices = draw_choices(augmentation, count, height, width, generator)
    return apply_choices(patches, spec, choices, channels_last)


def apply_choices(patches: Tensor, spec: PatchSpec, choices: Choices, channels_last: bool = True) -> Tensor:
    """Do to a batch of patches what was drawn, and normalise it.

    Parameters
    ----------
    patches, spec, channels_last
        As of `augment`.
    choices : Choices

    Returns
    -------
    x : float32, (N, 3, H, W)
        Mirrored, moved and pasted over as bytes; turned, recoloured and blurred as unrounded numbers from 0 to
        255; erased once normalised, where 0 is the mean colour.
    """
    x = patches
    with torch.autocast(x.device.type, enabled=False):
        if choices.flip is not None:
            x = _some(x, choices.flip, lambda some, _: some.flip(2))
        if choices.shift is not None:
            x = _move(x, choices.shift)
        if choices.patch is not None:
            x = _paste(x, choices.patch, choices.partner)
        if any(each is not None for each in (choices.angle, choices.color, choices.sigma)):
            planes = x.permute(0, 3, 1, 2).contiguous().float()
            if choices.angle is not None:
                planes = _turn(planes, choices.angle)
            if choices.color is not None:
                planes = _recolor(planes, choices.color)
            if choices.sigma is not None:
                planes = _blur(planes, choices.sigma)
            x = planes.permute(0, 2, 3, 1).contiguous()
        x = normalise_patches(x, spec)
        if choices.erase is not None:
            x = _erase(x, choices.erase)
    return x if channels_last else x.contiguous()


def _some(x: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """A copy in which the chosen crops are changed; `change` gets these, and their numbers on the CPU."""
    numbers = chosen.nonzero().flatten()
    rows = numbers.to(x.device)
    return x.index_copy(0, rows, change(x.index_select(0, rows), numbers))


def _move(x, shift):
    """Take each crop's pixels from so far off; black outside."""
    count, height, width, _ = x.shape
    margin = int(shift.abs().max()) if count else 0
    tall, wide = height + 2 * margin, width + 2 * margin
    framed = x.new_zeros(count, tall, wide, 3)
    framed[:, margin : margin + height, margin : margin + width] = x
    # Every run of `width` pixels in memory is a row of `runs`, so that one look-up finds the rows of all crops.
    runs = framed.view(-1).as_strided((max(count * tall * wide - width + 1, 0), 3 * width), (3, 1))
    rows = torch.arange(count)[:, None] * tall + margin + shift[:, :1] + torch.arange(height)
    starts = rows * wide + margin + shift[:, 1:]
    return runs.index_select(0, starts.flatten().to(x.device)).view(x.shape)


def _paste(x, boxes, partner):
    """Fill rectangles with the same place of other crops."""
    height, width = x.shape[1:3]

    def change(own, numbers):
        other = x.index_select(0, partner[numbers].to(x.device))
        inside = _inside(boxes[numbers].to(x.device), height, width, x.dtype).view(own.shape)
        return own + inside * (other - own)  # bytes: modulo 256, hence exact

    return _some(x, boxes[:, 1] > 0, change)


def _turn(planes, angles):
    """Turn each crop about its middle, counter-clockwise; between pixels bilinear, black outside."""
    height, width = planes.shape[2:]
    cos, sin = angles.deg2rad().cos().to(planes)[:, None, None], angles.deg2rad().sin().to(planes)[:, None, None]
    # Where each pixel is taken from: -1 to 1 from border to border, as `grid_sample` wants it.
    x = (2 * torch.arange(width, device=planes.device) + 1) / width - 1
    y = ((2 * torch.arange(height, device=planes.device) + 1) / height - 1)[:, None]
    places = planes.new_empty(len(planes), height, width, 2)
    torch.sub(cos * x, sin * y * (height / width), out=places[..., 0])
    torch.add(sin * x * (width / height), cos * y, out=places[..., 1])
    return F.grid_sample(planes, places, align_corners=False)


def _recolor(planes, factors):
    """Change brightness, then contrast about the mean grey, then saturation; cut to 0..255 at the end.

    The three together are linear in a pixel and its grey, with one constant a crop.
    """

    def change(some, numbers):
        brightness, contrast, saturation = factors[numbers].to(some)[:, :, None, None].unbind(1)
        grey = sum(share * some[:, channel] for channel, share in enumerate(_LUMA))
        middle = brightness * (1 - contrast) * grey.mean((1, 2), keepdim=True)
        grey = torch.addcmul(middle, grey, brightness * contrast * (1 - saturation))
        kept = (brightness * contrast * saturation)[:, None]
        return torch.addcmul(grey[:, None], some, kept).clamp_(0, 255)

    return _some(planes, (factors != 1).any(1), change)


def _blur(planes, sigmas):
    """Blur each crop by its own Gaussian; at the border, the outermost pixel goes on."""

    def change(some, numbers):
        bell = torch.exp(-0.5 * (torch.arange(-_REACH, _REACH + 1) / sigmas[numbers, None]) ** 2)
        taps = (bell / bell.sum(1, keepdim=True)).to(some)[:, :, None, None, None]
        for side in (2, 3):
            length = some.shape[side]
            places = torch.arange(-_REACH, length + _REACH).clamp(0, length - 1)
            longer = some.index_select(side, places.to(some.device))
            some = torch.zeros_like(some)
            for step in range(2 * _REACH + 1):
                some.addcmul_(longer.narrow(side, step, length), taps[:, step])
        return some

    return _some(planes, sigmas > 0, change)


def _erase(x, boxes):
    """Set rectangles to 0; `x` is normalised, and written to."""
    count, _, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).view(count, height, 3 * width)  # the same memory
    numbers = (boxes[:, 1] > 0).nonzero().flatten()
    places = numbers.to(x.device)
    outside = 1 - _inside(boxes[numbers].to(x.device), height, width, x.dtype)
    rows.index_copy_(0, places, outside.mul_(rows.index_select(0, places)))
    return x


def _inside(boxes, height, width, dtype):
    """1 inside each crop's rectangle, 0 outside: (N, height, 3 * width)."""
    top, bottom, left, right = boxes[:, :, None].unbind(1)
    y, x = torch.arange(height, device=boxes.device), torch.arange(width, device=boxes.device)
    down = ((y >= top) & (y < bottom)).to(dtype)
    across = ((x >= left) & (x < right)).to(dtype)
    return down[:, :, None] * across.repeat_interleave(3, 1)[:, None]
