"""A mask whose axes have another order or direction than its scan's, on the scan's own grid."""

from dataclasses import replace

import numpy as np

from kits_core.geometry.grid import same_place
from kits_core.geometry.volume import along_axes_of, read_volume, write_volume
from kits_core.source.convert import ConvertedSegmentation, convert_segmentation
from kits_core.source.nifti import NiftiFacts


def on_axes_of(image: NiftiFacts, mask: ConvertedSegmentation, *, case: str) -> ConvertedSegmentation:
    """The mask on its scan's axes, in the same file, with a note; unchanged if that does not put it on the scan's grid.

    In that case the grids differ, and `verify.check_pair` reports it.
    """
    if mask.facts.orientation == image.orientation:
        return mask
    affine = np.array(image.affine)
    volume = along_axes_of(read_volume(mask.path), affine)
    if volume.shape != image.shape or not same_place(image.shape, volume.affine, affine):
        return mask
    turned = mask.path.with_name(f"turned-{mask.path.name}")
    write_volume(turned, volume)
    again = convert_segmentation(turned, mask.path, case=case)
    turned.unlink()
    note = f"its axes, {mask.facts.orientation}, were turned to the scan's, {image.orientation}"
    return replace(again, source_dtype=mask.source_dtype, notes=(*mask.notes, note))
