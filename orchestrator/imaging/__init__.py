# SPDX-License-Identifier: Apache-2.0
"""Builds what images/ declares: guest images, cached by content hash, the same bytes every time."""

from orchestrator.imaging.cache import ensure_image, list_images, lock_image
from orchestrator.imaging.declaration import declared_images
from orchestrator.imaging.model import GuestImage

__all__ = ["GuestImage", "declared_images", "ensure_image", "list_images", "lock_image"]
