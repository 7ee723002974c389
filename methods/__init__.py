"""Methods: ways of turning a pretrained diffusion model into a video model, by family.

zero_shot         nothing is trained: independent frames (the floor), Text2Video-Zero, ZS²
one_shot          tuned on one clip, which it edits: Tune-A-Video
adapters          small trained layers in a frozen UNet: SimDA, and its editing, which is one-shot
prediction        the frames after given ones, on CogVideoX: FCA, LoRA, image-to-video; and floors
upscaling         SimDA's super-resolution stage, which follows any method
training          of adapters, predictors and upscalers on data sets (`reelbench train`)

They stand on two backbones, `stable_diffusion` and `cogvideox`, and on the ground: `pipelines` (loading,
prompts, sessions), `noise` (seeded draws), `frames` (which frames, at what size), `weights_file` (files of
trained parameters) and `resumable` (a loop that resumes).

Importing a method file imports no torch; `Method.load` does.
"""
