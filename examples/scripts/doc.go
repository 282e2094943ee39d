// Package scripts holds shell scripts that do not run side by side, by the
// program applock: deploy.sh, whose copies wait for each other, and cron.sh,
// which skips a job that is still running. Its Go files are their tests.
package scripts
