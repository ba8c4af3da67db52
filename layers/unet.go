package layers

import (
	"fmt"

	"ddpm/autograd"
	"ddpm/tensor"
)

// UNet is the network ε_θ(x_t, t) of Ho et al. 2020, appendix B: a convolutional encoder and decoder with residual
// blocks, self-attention at chosen resolutions, and a connection from every encoder layer to its mirror image.
type UNet struct {
	Config Config
	Params *Params
	Method tensor.Method // how convolutions are computed; Auto is the fastest

	time1, time2 linear
	classes      *autograd.Var // [classes E], or nil
	convIn       conv
	down, up     []*level
	mid          *middle
	normOut      autograd.Norm
	convOut      conv
}

// level is one resolution of the encoder or decoder.
type level struct {
	resnets    []*resnet
	attentions []*attention // one per resnet, or none
	resample   *conv        // to the next resolution; nil at the last level
	first      int          // the number of its first parameter
}

// middle is the bottleneck: resnet, attention, resnet.
type middle struct {
	first, last *resnet
	attention   *attention // or nil
}

// New returns a network with freshly initialised, packed parameters, a function of cfg and seed. Errors name the
// field of cfg that cannot be and what it can.
func New(cfg Config, seed uint64) (*UNet, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	u := &UNet{Config: cfg, Params: NewParams(seed)}
	p, ch := u.Params, cfg.BlockOutChannels
	u.convIn = newConv(p.In("conv_in"), 3, cfg.InChannels, ch[0], weights)
	u.time1 = newLinear(p.In("time_embedding.linear_1"), ch[0], cfg.timeDim(), weights)
	u.time2 = newLinear(p.In("time_embedding.linear_2"), cfg.timeDim(), cfg.timeDim(), weights)
	if cfg.NumClassEmbeds != nil {
		u.classes = p.In("class_embedding").New("weight", Plain, normal, *cfg.NumClassEmbeds, cfg.timeDim())
	}
	skips := []int{ch[0]} // channels of what the encoder leaves for the decoder
	in := ch[0]
	for i, out := range ch {
		l := &level{first: len(p.list)}
		scope := p.In(fmt.Sprintf("down_blocks.%d", i))
		for j := range cfg.LayersPerBlock {
			l.add(scope, &cfg, j, in, out, hasAttention(cfg.DownBlockTypes[i]))
			in = out
			skips = append(skips, out)
		}
		if i < len(ch)-1 {
			c := newConv(scope.In("downsamplers.0.conv"), 3, out, out, weights)
			l.resample = &c
			skips = append(skips, out)
		}
		u.down = append(u.down, l)
	}
	if cfg.MidBlockType != nil {
		u.mid = newMiddle(p.In("mid_block"), &cfg, in)
	}
	for i := range ch {
		l := &level{first: len(p.list)}
		out := ch[len(ch)-1-i]
		scope := p.In(fmt.Sprintf("up_blocks.%d", i))
		for j := range cfg.LayersPerBlock + 1 {
			skip := skips[len(skips)-1]
			skips = skips[:len(skips)-1]
			l.add(scope, &cfg, j, in+skip, out, hasAttention(cfg.UpBlockTypes[i]))
			in = out
		}
		if i < len(ch)-1 {
			c := newConv(scope.In("upsamplers.0.conv"), 3, out, out, weights)
			l.resample = &c
		}
		u.up = append(u.up, l)
	}
	u.normOut = newNorm(p.In("conv_norm_out"), ch[0], cfg.NormNumGroups, cfg.NormEps)
	u.convOut = newConv(p.In("conv_out"), 3, ch[0], cfg.OutChannels, nothing)
	p.Pack()
	return u, nil
}

// add appends layer j: a resnet, and attention if wanted.
func (l *level) add(scope *Params, cfg *Config, j, in, out int, attends bool) {
	l.resnets = append(l.resnets, newResnet(scope.In(fmt.Sprintf("resnets.%d", j)), cfg, in, out, 1))
	if attends {
		l.attentions = append(l.attentions, newAttention(scope.In(fmt.Sprintf("attentions.%d", j)), cfg, out, cfg.NormNumGroups, 1))
	}
}

func newMiddle(p *Params, cfg *Config, c int) *middle {
	m := &middle{first: newResnet(p.In("resnets.0"), cfg, c, c, cfg.MidBlockScaleFactor)}
	if cfg.AddAttention {
		m.attention = newAttention(p.In("attentions.0"), cfg, c, cfg.midAttentionGroups(), cfg.MidBlockScaleFactor)
	}
	m.last = newResnet(p.In("resnets.1"), cfg, c, c, cfg.MidBlockScaleFactor)
	return m
}

// attend applies the attention of layer j, if the level has any.
func (l *level) attend(c *call, j int, x *autograd.Var) *autograd.Var {
	if l.attentions != nil {
		x = replaced(c, x, l.attentions[j].forward(c, x))
	}
	return x
}

// Condition is what the network is told besides x_t and t.
type Condition struct {
	Labels  []int       // class of each image; nil for a network without classes
	Dropout tensor.Mask // P is the configuration's; Seed, Step and First say which units; zero Seed and Step when sampling
	Train   bool        // apply dropout
}

// images returns the condition for images n0…n1.
func (c Condition) images(n0, n1 int) Condition {
	if c.Labels != nil {
		c.Labels = c.Labels[n0:n1]
	}
	c.Dropout.First += uint64(n0)
	return c
}

// Forward returns the network's output for images x [N H W In] at time steps t, one per image: [N H W Out]. H and W
// must be divisible by 2 for every level but the last. Processors share the images, see autograd.Tape.Apart.
func (u *UNet) Forward(tp *autograd.Tape, x *autograd.Var, t []int, cond Condition) *autograd.Var {
	u.check(x, t, cond)
	return tp.Apart(x, func(tp *autograd.Tape, x *autograd.Var, n0, n1 int) *autograd.Var {
		return u.forward(tp, x, t[n0:n1], cond.images(n0, n1))
	})
}

// forward is Forward on one tape.
func (u *UNet) forward(tp *autograd.Tape, x *autograd.Var, t []int, cond Condition) *autograd.Var {
	c := &call{Tape: tp, method: u.Method}
	if cond.Train {
		c.drop = cond.Dropout
		c.drop.P = u.Config.Dropout
	}
	c.temb = u.embedTime(c, t, cond.Labels)
	if u.Config.CenterInputSample {
		x = centred(c, x)
	}
	h := c.Conv2D(x, u.convIn.w, u.convIn.b, u.window(tensor.Same3))
	h, skips := u.encode(c, h)
	if u.mid != nil {
		h = u.mid.forward(c, h)
	}
	h = u.decode(c, h, skips)
	y := c.NormSiLUConv(h, autograd.Block{Norm: u.normOut, W: u.convOut.w, B: u.convOut.b, Method: c.method})
	c.Release(h, c.temb)
	return y
}

// encode returns the encoder's result and all it computed on the way, the decoder's second input.
func (u *UNet) encode(c *call, h *autograd.Var) (*autograd.Var, []*autograd.Var) {
	skips := []*autograd.Var{h}
	for _, l := range u.down {
		for j := range l.resnets {
			h = l.attend(c, j, l.resnets[j].forward(c, h, nil))
			skips = append(skips, h)
		}
		if l.resample != nil {
			h = c.Conv2D(h, l.resample.w, l.resample.b, u.window(u.downsampling()))
			skips = append(skips, h)
		}
	}
	return h, skips
}

// decode lets each level keep its results in the idle memory of the gradients of all that comes before it: the levels
// whose results are largest, the last, have the fewest parameters, and Backward is done with them first.
func (u *UNet) decode(c *call, h *autograd.Var, skips []*autograd.Var) *autograd.Var {
	for _, l := range u.up {
		u.Params.lend(c.Tape, l.first)
		for j := range l.resnets {
			skip := skips[len(skips)-1]
			skips = skips[:len(skips)-1]
			h = l.attend(c, j, l.resnets[j].forward(c, h, skip))
		}
		if l.resample != nil {
			h = replaced(c, h, c.UpConv(h, l.resample.w, l.resample.b, c.method))
		}
	}
	u.Params.lend(c.Tape, 0)
	return h
}

func (m *middle) forward(c *call, x *autograd.Var) *autograd.Var {
	h := m.first.forward(c, x, nil) // x stays: the decoder reads it
	if m.attention != nil {
		h = replaced(c, h, m.attention.forward(c, h))
	}
	return replaced(c, h, m.last.forward(c, h, nil))
}

func (u *UNet) window(v tensor.Window) tensor.Window {
	v.Method = u.Method
	return v
}

func (u *UNet) downsampling() tensor.Window {
	if u.Config.DownsamplePadding == 0 {
		return tensor.HalfEnd3
	}
	return tensor.Half3
}

// centred returns 2x − 1.
func centred(c *call, x *autograd.Var) *autograd.Var {
	minus := c.Temp(x.Shape...)
	for i := range minus.Data {
		minus.Data[i] = -1
	}
	return c.Add(c.Scale(x, 2), minus)
}

// check panics unless a call fits the network.
func (u *UNet) check(x *autograd.Var, t []int, cond Condition) {
	n, h, w, c := x.Dims4()
	side := 1 << (len(u.Config.BlockOutChannels) - 1)
	switch {
	case c != u.Config.InChannels || h%side != 0 || w%side != 0:
		panic(fmt.Sprintf("layers: UNet.Forward: got images %v, want [N H W %d] with H and W multiples of %d", x.Shape, u.Config.InChannels, side))
	case len(t) != n:
		panic(fmt.Sprintf("layers: UNet.Forward: got %d time steps, want %d", len(t), n))
	case u.classes == nil && cond.Labels != nil, u.classes != nil && len(cond.Labels) != n:
		panic(fmt.Sprintf("layers: UNet.Forward: got %d labels for a network of %d classes, want one per image of %d", len(cond.Labels), u.Classes(), n))
	}
}

// Classes returns the number of rows in the network's class embedding, 0 if it has none.
func (u *UNet) Classes() int {
	if u.classes == nil {
		return 0
	}
	return u.classes.Shape[0]
}

// Denoise is Forward for a network without classes, without dropout.
func (u *UNet) Denoise(tp *autograd.Tape, xt *autograd.Var, t []int) *autograd.Var {
	return u.Forward(tp, xt, t, Condition{})
}

// Given returns the network under a condition, for samplers and losses that know of none.
func (u *UNet) Given(cond Condition) Conditioned { return Conditioned{u, cond} }

// Conditioned is a network under a fixed condition.
type Conditioned struct {
	net  *UNet
	cond Condition
}

// Denoise is the network's Forward under the condition.
func (g Conditioned) Denoise(tp *autograd.Tape, xt *autograd.Var, t []int) *autograd.Var {
	return g.net.Forward(tp, xt, t, g.cond)
}
