-- Must not run twice: totals become cents.

-- +goose Up
update invoice set total = total * 100;

-- +goose Down
update invoice set total = total / 100;
