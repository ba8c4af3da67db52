package quality

import (
	"math"
	"slices"

	"ddpm/internal/par"
	"ddpm/internal/simd"
	"ddpm/tensor"
)

// Neighbour is a point near another.
type Neighbour struct {
	Index  int
	Square float64 // of the Euclidean distance
}

// Distance returns the Euclidean distance.
func (n Neighbour) Distance() float64 { return math.Sqrt(n.Square) }

// Search finds the points nearest to each of some queries among many points, which come in blocks so that they need not
// all be in memory.
type Search struct {
	Nearest [][]Neighbour // [N][≤ K], per query, the nearest first; of equally near ones the one that came first

	queries tensor.Tensor
	k       int
	self    []int
}

// NewSearch returns a search for the k points nearest to each of queries [N D]. If the queries are among the points,
// self [N] says where: a point is not its own neighbour. Otherwise it is nil.
func NewSearch(queries tensor.Tensor, k int, self []int) *Search {
	n, _ := rows(queries)
	return &Search{make([][]Neighbour, n), queries, k, self}
}

// together is how many queries meet a point while it is in the cache.
const together = 32

// Add adds points [M D], numbered from first.
func (s *Search) Add(points tensor.Tensor, first int) {
	n, _ := rows(s.queries)
	m, _ := rows(points)
	par.For((n+together-1)/together, func(piece int, _ *par.Scratch) {
		for j := range m {
			for i := piece * together; i < min((piece+1)*together, n); i++ {
				if s.self == nil || s.self[i] != first+j {
					s.meet(i, Neighbour{first + j, simd.SquaredError(nil, row(s.queries, i), row(points, j))})
				}
			}
		}
	})
}

// meet takes a point among the nearest of query i if it is.
func (s *Search) meet(i int, p Neighbour) {
	list := s.Nearest[i]
	if len(list) == s.k {
		if p.Square >= list[s.k-1].Square {
			return
		}
		list = list[:s.k-1]
	}
	at := len(list)
	for at > 0 && p.Square < list[at-1].Square {
		at--
	}
	s.Nearest[i] = slices.Insert(list, at, p)
}

// Copying says how close queries are to the points that were searched.
type Copying struct {
	Median float64 // distance from a query to its nearest point, half of them being closer
	Copies float64 // share of the queries that are copies of a point
}

// copyRatio is how much closer the nearest point of a copy is than the second: 1/3 (Yoon et al. 2023; Gu et al.,
// arXiv:2310.02664).
const copyRatio = 1.0 / 3

// Copying sums up a search for two neighbours or more. A query counts as a copy if the nearest point is less than a third
// as far away as the second, or the very same; so a point that is in the set twice hides copies of it unless they are exact.
func (s *Search) Copying() Copying {
	var c Copying
	var distances []float64
	for _, list := range s.Nearest {
		distances = append(distances, list[0].Distance())
		if list[0].Square == 0 || list[0].Distance() < copyRatio*list[1].Distance() {
			c.Copies += 1 / float64(len(s.Nearest))
		}
	}
	slices.Sort(distances)
	n := len(distances)
	c.Median = (distances[(n-1)/2] + distances[n/2]) / 2
	return c
}
