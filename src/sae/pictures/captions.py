"""What each picture shows, in a sentence or two, in the order in which they tell a story."""

CAPTIONS = {
    "losses": "The whole path: above the error of the images rebuilt through all layers so far, in "
    "one unit throughout; below the loss that each phase minimised, in its own unit.",
    "reconstructions": "A validation image of each class (of ten at most), what each part of the "
    "path rebuilds of it, and what PCA rebuilds from as many numbers. Under noise also what "
    "is given and restored; the other columns start from the original.",
    "denoising": "Images under more and more noise, and restored; the gain in PSNR in brackets.",
    "features": "First layer: its weights as images. Deeper layers: what changes in the image when "
    "one unit goes from its 1st to its 99th percentile, the others at their mean.",
    "first_layer": "The weights of the first layer as images, after fine-tuning.",
    "activity": "How active each unit is on average, beside the target rho where there is one.",
    "codes": "The same images by PCA of their pixels and by their code: as it is in two "
    "dimensions, through PCA where it has more. 5-NN: how often a vote of the nearest five in "
    "that plane is right.",
    "plane": "The decoder's answer at each place of the plane of codes, and images at their codes.",
    "interpolation": "From one image to another: along the line between their codes, and by plain "
    "cross-fading.",
    "confusion": "Of a classifier: how many validation samples of each class are taken for which, "
    "coloured where it is wrong, and the mistakes that it is surest of.",
    "neighbours": "What lies nearest by code, and nearest by pixels.",
}
