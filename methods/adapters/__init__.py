"""SimDA: small trained layers in a frozen UNet, for text to video and for editing."""
