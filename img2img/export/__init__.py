"""Models written for other programs: `img2img export`."""
