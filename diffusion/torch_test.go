package diffusion

import (
	"math"
	"testing"
)

// torchNoise draws what torch.randn draws on a CPU after torch.manual_seed: the Mersenne Twister MT19937 (Matsumoto and
// Nishimura 1998) under torch's own use of Box and Muller's transform.
type torchNoise struct {
	state [624]uint32
	next  int
}

func newTorchNoise(seed uint32) *torchNoise {
	r := &torchNoise{next: 624}
	r.state[0] = seed
	for i := 1; i < len(r.state); i++ {
		r.state[i] = 1812433253*(r.state[i-1]^r.state[i-1]>>30) + uint32(i)
	}
	return r
}

func (r *torchNoise) uint32() uint32 {
	const n, m = 624, 397
	if r.next == n {
		for i := range n {
			y := r.state[i]&(1<<31) | r.state[(i+1)%n]&(1<<31-1)
			r.state[i] = r.state[(i+m)%n] ^ y>>1 ^ (y&1)*0x9908b0df
		}
		r.next = 0
	}
	y := r.state[r.next]
	r.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// normal fills x, whose length must be a multiple of 16, from which on torch draws in blocks: in each, the first eight
// uniforms are the radii and the last eight the angles.
func (r *torchNoise) normal(x []float32) {
	u := make([]float64, len(x))
	for i := range u {
		u[i] = float64(r.uint32()&(1<<24-1)) / (1 << 24)
	}
	for i := 0; i < len(x); i += 16 {
		for j := i; j < i+8; j++ {
			radius := math.Sqrt(-2 * math.Log(1-u[j]))
			sin, cos := math.Sincos(2 * math.Pi * u[j+8])
			x[j], x[j+8] = float32(radius*cos), float32(radius*sin)
		}
	}
}

func TestTorchNoise(t *testing.T) {
	x := make([]float32, 16)
	newTorchNoise(0).normal(x)
	for i, want := range []float64{-1.1258, -1.1524, -0.2506, -0.4339, 0.8487} {
		near(t, "torch.randn with seed 0", float64(x[i]), want, 2e-4)
	}
}
