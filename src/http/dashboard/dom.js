// Elements without markup: text only ever becomes a text node, so nothing that a user, a host or a cloud wrote can
// become part of the page's structure.
//
// A view builds the whole tree that it would like to see, and `morph` changes the page into it. What stays the same keeps
// its node, and with it focus, scroll position, an open menu and what somebody is typing.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") listen(node, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(4)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

/** An element of HTML: `h("p", {class: "note", on: {click}}, "text", child)`. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** An element of SVG. */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// Listeners are looked up when the event comes, so that a morphed node acts on what was built last.
const handlers = new WeakMap();

function dispatch(event) {
  handlers.get(event.currentTarget)?.[event.type]?.(event);
}

function listen(node, wanted) {
  const known = handlers.get(node) ?? {};
  for (const type of Object.keys(wanted)) if (!(type in known)) node.addEventListener(type, dispatch);
  const silenced = Object.fromEntries(Object.keys(known).map((type) => [type, undefined]));
  handlers.set(node, { ...silenced, ...wanted });
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);
const alike = (a, b) => a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

/** Changes `old` into `wanted`, node by node; the nodes of `wanted` are used up. */
export function morph(old, wanted) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== wanted.data) old.data = wanted.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // Whether a <details> is open is the reader's business.
    if (!wanted.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (handlers.has(wanted) || handlers.has(old)) listen(old, handlers.get(wanted) ?? {});
  morphChildren(old, [...wanted.childNodes]);
}

/** Makes the children of `parent` these. */
export function morphChildren(parent, wanted) {
  const keyed = new Map();
  for (const child of parent.childNodes) if (keyOf(child) !== null) keyed.set(keyOf(child), child);
  let place = parent.firstChild;
  for (const next of wanted) {
    const key = keyOf(next);
    const known = key === null ? place : keyed.get(key);
    if (known && alike(known, next)) {
      if (known === place) place = place.nextSibling;
      else parent.insertBefore(known, place);
      morph(known, next);
    } else {
      parent.insertBefore(next, place);
    }
  }
  while (place) {
    const after = place.nextSibling;
    place.remove();
    place = after;
  }
}
