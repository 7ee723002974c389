"""Methods: one way of turning a pretrained diffusion model into a video model is one file.

ddim_frames        every frame an independent image: the floor
text2video_zero    Text2Video-Zero: warped latents and cross-frame attention
zs2                ZS²: dependency noise and temporal momentum attention
tune_a_video       Tune-A-Video: an inflated UNet, tuned on one clip, edits it
simda              SimDA: adapters that were trained on videos
simda_edit         SimDA's editing: adapters tuned on one clip
upscaler           SimDA's super-resolution stage, which follows any method
cogvideox          the base of text-video prediction: `fca` (FCA), `lora`, `cogvideox_t2v`, `cogvideox_i2v`;
                   and the floors `repeat_last` and `constant_velocity`

Beside them lie the parts that they share: `config` (the settings of all), `session` (one clip per forward
pass), `pipeline` (Stable Diffusion, loaded), `guidance` (UNet and classifier-free guidance), `ddim` (the
schedule), `noise` (seeded draws), `attention` (self-attention across frames), `dependency_noise`; for tuning
`tuning`, `ddim_inversion`, `one_shot_session`; for adapters `adapters`, `video_training`.

Importing a method file imports no torch; `Method.load` does.
"""
