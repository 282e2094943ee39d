package uow_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/lockstep-go/lockstep/uow"
)

const (
	insertOrder = "insert into orders values ($1, 'lamp', 1)"
	takeLamp    = "update stock set quantity = quantity - 1 where article = 'lamp' and quantity > 0 returning quantity"
)

// BuyHandler sells one lamp.
type BuyHandler struct{ m *uow.Manager }

// ServeHTTP writes both the order and the stock, or neither.
func (h BuyHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, scope, err := h.m.Begin(r.Context())
	if err != nil {
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	defer scope.Close() // rolls back, unless Commit came before

	var left int
	_, err = scope.ExecContext(ctx, insertOrder, r.FormValue("order"))
	if err == nil {
		err = scope.GetContext(ctx, &left, takeLamp)
	}
	if errors.Is(err, sql.ErrNoRows) {
		http.Redirect(w, r, "/sold-out", http.StatusSeeOther)
		return // the order is rolled back
	}
	if err == nil {
		err = scope.Commit(ctx)
	}
	if err != nil {
		http.Error(w, "not saved", http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "bought; %d left", left)
}

// A request handler with a short transaction. Whichever way it returns, nothing
// is written unless Commit returned nil.
func ExampleManager_Begin() {
	m, closeShop := openShop() // five lamps in stock
	defer closeShop()

	for order := 1; order <= 6; order++ {
		request := httptest.NewRequest(http.MethodPost, fmt.Sprintf("/buy?order=%d", order), nil)
		answer := httptest.NewRecorder()
		BuyHandler{m}.ServeHTTP(answer, request)
		fmt.Printf("%d %q\n", answer.Code, answer.Body)
	}
	printShop(context.Background(), m.DB())
	// Output:
	// 200 "bought; 4 left"
	// 200 "bought; 3 left"
	// 200 "bought; 2 left"
	// 200 "bought; 1 left"
	// 200 "bought; 0 left"
	// 303 ""
	// orders: 5, lamps left: 0
}
