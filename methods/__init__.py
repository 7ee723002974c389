"""Methods: one way of turning a text-to-image diffusion model into a video model is one file.

ddim_frames        every frame an independent image: the floor
text2video_zero    Text2Video-Zero: warped latents and cross-frame attention
zs2                ZS²: dependency noise and temporal momentum attention

Beside them lie the parts that they share: `config` (the settings of all), `session` (one clip per forward
pass), `pipeline` (Stable Diffusion, loaded), `guidance` (UNet and classifier-free guidance), `ddim` (the
schedule), `noise` (seeded draws), `attention` (self-attention across frames), `dependency_noise`.

Importing a method file imports no torch; `Method.load` does.
"""
