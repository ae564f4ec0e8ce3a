// What is wrong with the layout of a letter: a list of sentences, empty when nothing is.
() => {
  const SLACK = 1; // CSS pixels: glyph boxes of neighbours may touch, and are rounded
  const found = [];
  const say = (kind, words) => found.push(`${kind}: ${words}`);
  const shorten = (text) => JSON.stringify(text.trim().replace(/\s+/g, " ").slice(0, 40));
  const root = document.documentElement;

  if (root.scrollWidth > root.clientWidth) {
    say("scroll", `the page is ${root.scrollWidth} wide, the window ${root.clientWidth}`);
  }

  // Boxes: each line of each text node, and each picture.
  const boxes = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.data.trim()) continue;
    const owner = node.parentElement;
    if (["STYLE", "SCRIPT", "TITLE"].includes(owner.tagName)) continue;
    if (!owner.checkVisibility({ opacityProperty: true, visibilityProperty: true })) {
      say("hidden", shorten(node.data));
      continue;
    }
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const one of range.getClientRects()) {
      if (one.width > SLACK && one.height > SLACK) boxes.push({ node, owner, text: node.data, box: one });
    }
  }
  for (const picture of document.body.querySelectorAll("img")) {
    const box = picture.getBoundingClientRect();
    if (!box.width || !box.height) say("hidden", `picture ${shorten(picture.alt)}`);
    boxes.push({ node: picture, owner: picture, text: picture.alt, box });
  }

  // Overlap: boxes of different nodes share no area. Sorted by top, so that only neighbours are compared.
  boxes.sort((one, other) => one.box.top - other.box.top);
  boxes.forEach((one, place) => {
    for (let next = place + 1; next < boxes.length; next += 1) {
      const other = boxes[next];
      if (other.box.top > one.box.bottom - SLACK) break;
      const wide = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      const high = Math.min(one.box.bottom, other.box.bottom) - other.box.top;
      if (wide > SLACK && high > SLACK) say("overlap", `${shorten(one.text)} and ${shorten(other.text)}`);
    }
  });

  // Clipped: no box leaves the window sideways, the block it stands in, or an ancestor that cuts off what is outside.
  const holds = (frame, box, sideways) =>
    box.left >= frame.left - SLACK && box.right <= frame.right + SLACK &&
    (sideways || (box.top >= frame.top - SLACK && box.bottom <= frame.bottom + SLACK));
  for (const { owner, text, box } of boxes) {
    if (box.left < -SLACK || box.right > root.clientWidth + SLACK) say("clipped", `${shorten(text)} by the window`);
    let block = owner;
    while (getComputedStyle(block).display.startsWith("inline") && block.parentElement) block = block.parentElement;
    if (!holds(block.getBoundingClientRect(), box, true)) say("clipped", `${shorten(text)} leaves its ${block.tagName}`);
    for (let up = owner; up && up !== root; up = up.parentElement) {
      const style = getComputedStyle(up);
      const cuts = style.overflow !== "visible" || style.clipPath !== "none" || style.clip !== "auto";
      if (up.tagName !== "IMG" && cuts && !holds(up.getBoundingClientRect(), box, false)) {
        say("clipped", `${shorten(text)} by ${up.tagName}`);
      }
    }
  }

  // The signs of list items stand outside their boxes, on the side where lines begin: the list must have room there.
  const pen = document.createElement("canvas").getContext("2d");
  for (const item of document.body.querySelectorAll("ul > li, ol > li")) {
    const list = item.parentElement;
    const style = getComputedStyle(item);
    if (style.listStyleType === "none" || style.display !== "list-item") continue;
    const number = (list.start ?? 1) + [...list.children].indexOf(item);
    pen.font = style.font;
    const needed = pen.measureText(list.tagName === "OL" ? `${number}. ` : "• ").width;
    const [outer, inner] = [list.getBoundingClientRect(), item.getBoundingClientRect()];
    const room = style.direction === "rtl" ? outer.right - inner.right : inner.left - outer.left;
    if (room + SLACK < needed) say("clipped", `the sign of ${shorten(item.textContent)} has ${room}, needs ${needed}`);
  }

  // The words of a picture that is not shown need room too: as much as a paragraph of them, or the picture's own.
  for (const picture of document.body.querySelectorAll("img")) {
    if (picture.naturalWidth || !picture.alt) continue;
    const style = getComputedStyle(picture);
    const probe = document.createElement("div");
    for (const name of ["font", "width", "wordBreak", "overflowWrap", "letterSpacing"]) probe.style[name] = style[name];
    probe.style.position = "absolute";
    probe.textContent = picture.alt;
    picture.parentElement.append(probe);
    const needed = probe.getBoundingClientRect().height;
    const wide = probe.scrollWidth;
    probe.remove();
    const { height, width } = picture.getBoundingClientRect();
    if (needed > height + SLACK || wide > width + SLACK) {
      say("clipped", `the words ${shorten(picture.alt)} need ${wide}×${needed}, the picture has ${width}×${height}`);
    }
  }
  return [...new Set(found)];
}
