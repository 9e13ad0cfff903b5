"""A folder of pictures as a model's input.

What is done to a picture, in this order: it is turned upright, transparent pixels get a
background, its colors become those of the model, it is resized, its values are scaled to a
range, a mean is subtracted and a standard deviation divided out, its axes are arranged.

    layout     which axis of the input is what
    arguments  what a user may choose;  options: what was chosen; option_values: how that is
               written
    listing    the files;  opening: the file and its header
    pixels     any picture as gray, RGB or RGBA, with upright: orientation, transparency: what
               shows through, deep: gray of more than 8 bits
    sizes      where pixels go;  resizing: moving them there
    scaling    what values become
    treatment  all of this for one picture;  survey, summary: what is said about it
    reading    the folder, one picture at a time
    levels     one picture as it is, in 8 bits, for plugins
"""
