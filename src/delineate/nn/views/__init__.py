"""Views of a batch on the device: the strong view (colors, blur), the weak one (flips, turns, shifts) and CutMix.

A view is drawn once, `view = StrongView.draw(image, generator)`, and is then a pure function of what it is shown: all its random
numbers are in its fields, one per image, taken from the generator alone. Nothing here waits for the device.
"""
