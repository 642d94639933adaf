"""Engines and connections only; what is stored is the features' business."""
