"""What is told: a result turned into tables of numbers. How they look is the renderers' business."""
