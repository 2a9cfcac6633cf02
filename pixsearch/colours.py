"""Convert pictures to sRGB using their ICC profiles."""

from __future__ import annotations

import functools
import io

from PIL import Image, ImageCms

_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""The Pillow mode for each ICC colour space (ICC.1:2022, 7.2.8)."""


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an L, CMYK or RGB picture to sRGB. A profile that is damaged or does not match the mode is ignored."""
    source = _usable(profile, picture.mode) if profile else None
    if source is None:
        return picture.convert("RGB")
    try:
        return ImageCms.profileToProfile(picture, source, _srgb(), outputMode="RGB") or picture.convert("RGB")
    except ImageCms.PyCMSError:
        return picture.convert("RGB")


def _usable(profile: bytes, mode: str) -> ImageCms.ImageCmsProfile | None:
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        is_of_mode = _SPACES.get(opened.profile.xcolor_space.strip()) == mode
        is_srgb = "sRGB" in (opened.profile.profile_description or "")
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return opened if is_of_mode and not is_srgb else None


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
