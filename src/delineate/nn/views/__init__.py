"""Augmentation on the device, as consistency training needs it: a strong view (colors, blur), a weak one (flips, quarter turns,
shifts), CutMix, and squares that are hidden.

A view is drawn once, `view = StrongView.draw(image, generator)`. After that it is a pure function of what it is given: all its
random numbers are in its fields, one for each image, drawn from the generator alone. Nothing here waits for the GPU.
"""
