"""The backbone of the text-to-image family: a Stable Diffusion pipeline, DDIM, attention across frames."""
