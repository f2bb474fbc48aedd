#!/bin/bash
# Fetches the broker's jars into libs/, here in the build context. Needs mvn; where from is Maven's own configuration.
set -euo pipefail
mvn -q -B -f pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$PWD/libs"
