-- goose keeps no version from being recorded twice. Should a runner lose its
-- lock and not have noticed yet, the database refuses its next step here, and
-- undoes it.

-- +goose Up
create unique index goose_version_once on goose_db_version (version_id);

-- +goose Down
drop index goose_version_once;
