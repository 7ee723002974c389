"""SimDA's super-resolution stage: a latent image upscaler with adapters."""
