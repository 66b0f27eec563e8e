"""Make the demonstrations that the kit ships, and sheets that show them beside the human ones.

    python -m score.course.tools.demonstrations            # data/demonstrations.zarr.zip
    python -m score.course.tools.demonstrations --sheets   # data/shipped.png and data/human.png

The modules, each of which uses only those above it:

=============  ===================================================================================
`starts`       where episodes begin: resets of two environments, and states of learners
`networks`     students beside the expert's own networks, and what a value learns
`fitting`      the training of the networks
`store`        what is made, in a folder
`learning`     from the human flow policy to the expert, in stages
`teaching`     from the expert to episodes that a small network can learn from
`selection`    which of the expert's episodes become the set, and the set as a file
=============  ===================================================================================

The expert itself is `pusht.expert`, which students have too; the command writes its networks to
data/expert.safetensors.

data/README.md tells what the set is and why it is made so.
"""
