#!/usr/bin/env bash
# Takes the pictures of the documents anew; `make screenshots`. The service runs through three hours with a rush in them,
# in four minutes, and a real browser looks at it (tests/it/dashboard/pictures.rs). The pictures are then made small.
set -euo pipefail

# shellcheck source=scripts/paths.sh
source "$(dirname "${BASH_SOURCE[0]}")/paths.sh"
cd "$root"

scripts/test-setup.sh pictures
mkdir -p docs/screenshots
step "The pictures (four minutes)"
scripts/with-progress.sh "pictures" cargo test --quiet --locked --no-default-features --test it -- \
  --ignored --exact dashboard::pictures::the_documents_show_the_page_as_it_is

step "Making them small"
for picture in docs/screenshots/*.png; do
  # The colours of a page are few: of 256, none differs from its original by what an eye could tell.
  pngquant --quality 80-100 --speed 1 --strip --force --output "$picture" "$picture"
done
du -ch docs/screenshots/*.png
