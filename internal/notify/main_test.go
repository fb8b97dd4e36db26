package notify_test

import (
	"os"
	"testing"

	"marquee/internal/dbtest"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }
