package gate

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// BenchmarkUncontended enters and leaves gates that nobody else wants, beside so
// many that are in use.
func BenchmarkUncontended(b *testing.B) {
	for _, others := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			table := new(Table)
			for i := range others {
				table.Join(fmt.Sprint("other ", i), Exclusive, nil)
			}
			b.ReportAllocs()
			for b.Loop() {
				pass, err := table.Enter(b.Context(), Request{Name: "a", Mode: Exclusive, Limit: forever})
				if err != nil {
					b.Fatal(err)
				}
				pass.Granted(b)
				pass.Leave()
			}
		})
	}
}

// BenchmarkContended has many goroutines enter one gate, which lets in the holder
// and one on deck.
func BenchmarkContended(b *testing.B) {
	for _, goroutines := range []int{8, 64, 1024} {
		b.Run(fmt.Sprintf("per-processor=%d", goroutines), func(b *testing.B) {
			table := new(Table)
			b.SetParallelism(goroutines) // for each processor
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					pass, err := table.Enter(b.Context(), Request{Name: "a", Mode: Exclusive, Limit: forever})
					if err != nil {
						b.Error(err)
						return
					}
					pass.Granted(b)
					pass.Leave()
				}
			})
			if n := table.Len(); n != 0 {
				b.Errorf("%d gates left", n)
			}
		})
	}
}

// BenchmarkNames enters gates of many names from all processors.
func BenchmarkNames(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprintf("names=%d", n), func(b *testing.B) {
			names := make([]string, n)
			for i := range names {
				names[i] = fmt.Sprint("name ", i)
			}
			table, next := new(Table), atomic.Int64{}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					name := names[next.Add(1)%int64(n)]
					pass, err := table.Enter(b.Context(), Request{Name: name, Mode: Exclusive, Limit: forever})
					if err != nil {
						b.Error(err)
						return
					}
					pass.Leave()
				}
			})
			if n := table.Len(); n != 0 {
				b.Errorf("%d gates left", n)
			}
		})
	}
}
