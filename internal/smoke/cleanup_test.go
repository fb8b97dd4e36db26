package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestFindPostmaster(t *testing.T) {
	t.Parallel()

	t.Run("wherever it lies", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if _, err := findPostmaster(dir); !errors.Is(err, errNoPostmaster) {
			t.Errorf("in an empty folder: %v", err)
		}
		data := filepath.Join(dir, "some", "data")
		if err := os.MkdirAll(data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(data, "postmaster.pid"), []byte("4711\n/some/data\n1795374000\n5433\n/run\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := findPostmaster(dir); err != nil || got != (postmaster{pid: 4711, port: 5433}) {
			t.Errorf("found %+v, %v", got, err)
		}
	})

	for name, content := range map[string]string{
		"an empty file":       "",
		"a file in the make":  "4711\n/data\n",
		"no process":          "x\n/data\n1\n5433\n",
		"everybody's process": "-1\n/data\n1\n5433\n",
		"no port":             "4711\n/data\n1\n\n",
	} {
		t.Run(name+" is an error", func(t *testing.T) {
			t.Parallel()
			if got, err := parsePostmaster(content); err == nil {
				t.Errorf("read %+v", got)
			}
		})
	}
}

func TestPostmaster_Listens(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	p := postmaster{pid: 1, port: number}
	if !p.listens(t.Context()) {
		t.Error("it does not listen")
	}
	_ = listener.Close()
	if p.listens(t.Context()) {
		t.Error("it still listens")
	}
}
