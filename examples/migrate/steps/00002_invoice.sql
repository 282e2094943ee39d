-- +goose Up
create table invoice (id int primary key, total int not null);
insert into invoice values (1, 25);

-- +goose Down
drop table invoice;
