"""From a segmentation to a surgical plan: sides, measurements, surfaces, and the page that shows them."""
