package race

import "slices"

// A Spread is a median and the quartiles around it.
type Spread struct{ Low, Median, High float64 }

// SpreadOf returns the spread of figures, zero where there are none.
func SpreadOf(figures []float64) Spread {
	sorted := slices.Sorted(slices.Values(figures))
	return Spread{Low: quantile(sorted, 0.25), Median: quantile(sorted, 0.5), High: quantile(sorted, 0.75)}
}

// Quantile returns the figure below which the share q of figures lies, zero
// where there are none.
func Quantile(figures []float64, q float64) float64 {
	return quantile(slices.Sorted(slices.Values(figures)), q)
}

// quantile interpolates between the two nearest.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	position := q * float64(len(sorted)-1)
	i := int(position)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	share := position - float64(i)
	return sorted[i]*(1-share) + sorted[i+1]*share
}

// Ratios divides figures round by round: drift within a run hits both sides of
// each ratio. A round in which nothing was done by the one to divide by says
// nothing, and is left out.
func Ratios(of, by []float64) []float64 {
	ratios := make([]float64, 0, len(of))
	for i := range min(len(of), len(by)) {
		if by[i] > 0 {
			ratios = append(ratios, of[i]/by[i])
		}
	}
	return ratios
}
