"""Networks: output, loss and every gradient of diffusers' UNet2DModel, one small net per thing that varies.

The reference is computed in float64 from float32 weights and stored as float32, so it is exact to the last bit or so;
unets.json says how far torch's own float32 run is from it.
"""
import copy
import json

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import save_file

# One entry per net: what it is there for, and what it asks of UNet2DModel (everything else is that class's default).
# "dtype" is how its weights are stored, "classes" are the labels of the two
# images, "side" is their size where it is not the sample_size (which UNet2DModel only keeps for pipelines).
NETS = {
    "two-level": dict(
        about="8×8, attention at the second level, symmetric padding, one head",
        config=dict(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8, 16), layers_per_block=1,
                    down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
                    norm_num_groups=4, attention_head_dim=None)),
    "cifar10": dict(
        about="google/ddpm-cifar10-32 at 1/32 of its width: asymmetric padding, [sin cos], frequency shift 1, weights in BF16",
        dtype=torch.bfloat16,
        config=dict(sample_size=16, in_channels=3, out_channels=3, block_out_channels=(4, 8, 8, 8), layers_per_block=2,
                    down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
                    up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
                    norm_num_groups=2, attention_head_dim=None, norm_eps=1e-6, downsample_padding=0,
                    flip_sin_to_cos=False, freq_shift=1)),
    "mnist": dict(
        about="28×28 down to 14×14 and 7×7, attention at the last level, two heads; weights in F16",
        dtype=torch.float16,
        config=dict(sample_size=28, in_channels=1, out_channels=1, block_out_channels=(8, 16, 16), layers_per_block=1,
                    down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
                    up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
                    norm_num_groups=4, attention_head_dim=8)),
    "classes": dict(
        about="class-conditional: ten labels added to the time embedding",
        classes=[3, 9],
        config=dict(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8, 8), layers_per_block=1,
                    down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
                    norm_num_groups=4, attention_head_dim=None, num_class_embeds=10)),
    "heads": dict(
        about="attention at both levels: one head of 8, then two heads of 8; image 8×12; weights in BF16",
        side=(8, 12), dtype=torch.bfloat16,
        config=dict(sample_size=8, in_channels=3, out_channels=3, block_out_channels=(8, 16), layers_per_block=1,
                    down_block_types=("AttnDownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "AttnUpBlock2D"),
                    norm_num_groups=4, attention_head_dim=8)),
    "ragged-heads": dict(
        about="head dimension 3 does not divide 8 channels: two heads, inner width 6; [cos sin], frequency shift 1",
        config=dict(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8, 8), layers_per_block=1,
                    down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
                    norm_num_groups=4, attention_head_dim=3, freq_shift=1)),
    "mid-attention": dict(
        about="attention in the middle only, with groups of its own; in 2, out 4 channels (learned variance)",
        config=dict(sample_size=8, in_channels=2, out_channels=4, block_out_channels=(8, 8), layers_per_block=1,
                    down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
                    norm_num_groups=4, attn_norm_num_groups=2, attention_head_dim=8)),
    "no-attention": dict(
        about="add_attention false: no attention in the middle, though the blocks keep theirs; [sin cos], no frequency shift",
        config=dict(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8, 8), layers_per_block=1,
                    down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
                    norm_num_groups=4, attention_head_dim=None, add_attention=False,
                    flip_sin_to_cos=False)),
    "scale-shift": dict(
        about="scale_shift norm: h·(1+scale)+shift; diffusers then drops the group norm of the middle attention",
        config=dict(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8, 8), layers_per_block=1,
                    down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
                    norm_num_groups=4, attention_head_dim=8, resnet_time_scale_shift="scale_shift")),
    "mid-scale": dict(
        about="mid_block_scale_factor √2 divides the middle's residual sums, attention included; dropout 0 spelled out",
        config=dict(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(4, 8), layers_per_block=1,
                    down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
                    norm_num_groups=2, attention_head_dim=4, mid_block_scale_factor=2 ** 0.5, dropout=0.0)),
}
TIMESTEPS = [37, 781]


def build(name):
    """The net with every parameter drawn anew: default norms (1 and 0) and small outputs would hide mistakes."""
    spec = NETS[name]
    net = UNet2DModel(**spec["config"])
    generator = torch.Generator().manual_seed(1 + list(NETS).index(name))
    with torch.no_grad():
        for key, p in net.named_parameters():
            z = torch.randn(p.shape, generator=generator)
            if p.dim() > 1:  # convolution, linear, embedding: unit variance out
                fan_in = 4 if key.startswith("class_embedding") else p[0].numel()
                p.copy_(z / fan_in ** 0.5)
            elif "norm" in key and key.endswith("weight"):
                p.copy_(1 + 0.3 * z)
            else:
                p.copy_(0.2 * z)
            if "dtype" in spec:  # the values must survive storage
                p.copy_(p.to(spec["dtype"]).float())
    return net.eval(), generator


def run(net, x, target, timesteps, classes, dtype):
    """Output, loss and gradients (of input and parameters) computed in dtype."""
    net = copy.deepcopy(net).to(dtype)
    x = x.to(dtype).requires_grad_()
    y = net(x, timesteps, class_labels=classes).sample
    loss = torch.mean((y - target.to(dtype)) ** 2)
    loss.backward()
    grads = {"grad.input": x.grad} | {"grad." + k: p.grad for k, p in net.named_parameters()}
    return y.detach(), loss.item(), grads


def worst(a, b):
    """Largest difference over all tensors, each relative to the largest entry of its reference b."""
    return max(((a[k].double() - b[k]).abs().max() / b[k].abs().max().clamp(min=1e-9)).item() for k in b)


def write(top):
    index = []
    for name, spec in NETS.items():
        net, generator = build(name)
        config = net.config
        h, w = spec.get("side", (config.sample_size,) * 2)
        x = torch.randn(2, config.in_channels, h, w, generator=generator)
        target = torch.randn(2, config.out_channels, h, w, generator=generator)
        timesteps = torch.tensor(TIMESTEPS)
        classes = torch.tensor(spec["classes"]) if "classes" in spec else None

        y, loss, grads = run(net, x, target, timesteps, classes, torch.float64)
        y32, loss32, grads32 = run(net, x, target, timesteps, classes, torch.float32)
        # A key's bias moves every score of a query alike, so softmax ignores it: its gradient is rounding noise.
        zero = [k for k in grads if k.endswith("to_k.bias")]
        assert all(grads[k].abs().max() < 1e-12 for k in zero)
        for k in zero:
            del grads[k], grads32[k]

        folder = top / ("unet-" + name)
        model = folder
        if name == "two-level":  # this one is also the pipeline directory
            model = top / "pipeline" / "unet"
            scheduler = DDPMScheduler(variance_type="fixed_large")
            DDPMPipeline(unet=net, scheduler=scheduler).save_pretrained(top / "pipeline")
        else:
            net.to(spec.get("dtype", torch.float32)).save_pretrained(folder)
        folder.mkdir(exist_ok=True)
        tensors = {"input": x, "target": target, "output": y} | grads
        save_file({k: v.float().contiguous() for k, v in tensors.items()}, folder / "golden.safetensors")
        index.append(dict(
            name=name, about=spec["about"], model=str(model.relative_to(top)), golden=f"unet-{name}/golden.safetensors",
            timesteps=TIMESTEPS, class_labels=spec.get("classes"), loss=loss,
            zero_gradients=[k.removeprefix("grad.") for k in zero],
            torch_float32=dict(output=worst({"y": y32}, {"y": y}), loss=abs(loss32 / loss - 1), gradients=worst(grads32, grads))))
        print(f"unet-{name}: {sum(p.numel() for p in net.parameters())} parameters, loss {loss:.6f}, "
              f"float32 is off by {index[-1]['torch_float32']}")
    with open(top / "unets.json", "w", encoding="utf-8") as f:
        json.dump(index, f, indent=1, ensure_ascii=False)
        f.write("\n")
