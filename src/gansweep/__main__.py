import sys

from gansweep.cli.main import main

sys.exit(main())
