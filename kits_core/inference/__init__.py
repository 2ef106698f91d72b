"""From a network's output to labels on a scan's own grid."""
