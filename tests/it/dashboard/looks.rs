//! What everybody can use: axe finds no fault with a page, nothing of it is cut off or lies beside the screen, by day
//! and by night, at a desk and on a telephone.

use serde_json::{Value, json};

use super::browser::{Browser, Screen};

/// Deque's checker of accessibility, as it is published (tests/data/README.md).
const AXE: &str = include_str!("../../data/axe/axe-4.14.1.min.js");

/// The rules of WCAG 2.2 AA, and what is good besides.
const ASK_AXE: &str = "
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    const found = await axe.run(document, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']});
    return found.violations.flatMap(({id, nodes}) => nodes.map((node) =>
        `${id}: ${node.target} ${node.any.concat(node.all, node.none).map((check) => check.message).join('; ')}`))";

/// What does not fit: the page is wider than the screen, text ends outside what shows it, labels lie on one another.
const MEASURE: &str = r"
    const found = [];
    const root = document.scrollingElement;
    if (root.scrollWidth > root.clientWidth) found.push(`the page is ${root.scrollWidth} wide on a screen of ${root.clientWidth}`);
    const name = (one) => `<${one.nodeName.toLowerCase()} class='${one.getAttribute('class') ?? ''}'> ${one.textContent.trim().slice(0, 60)}`;
    const unseen = (one) => one !== null && (getComputedStyle(one).clipPath !== 'none' || one.classList.contains('skip') || unseen(one.parentElement));
    const top = document.querySelector('dialog') ?? document.body;
    for (const one of top.querySelectorAll('*')) {
        const style = getComputedStyle(one);
        // A closed <details> keeps the boxes of another screen.
        if (!one.checkVisibility({visibilityProperty: true}) || unseen(one)) continue;
        const box = one.getBoundingClientRect();
        if (box.width === 0 || box.height === 0) continue;
        const scrolled = one.closest('.scroll');
        if (!scrolled && (box.left < -0.5 || box.right > root.clientWidth + 0.5)) found.push(`beside the screen: ${name(one)}`);
        if (one instanceof HTMLElement && one !== scrolled && style.display !== 'inline' && one.scrollWidth > one.clientWidth + 1
            && style.overflowX !== 'visible' && !['INPUT', 'SELECT', 'DIALOG'].includes(one.nodeName)) found.push(`cut off: ${name(one)}`);
        if (one instanceof HTMLInputElement && one.scrollWidth > one.clientWidth + 1) found.push(`cut off: ${one.id}`);
    }
    for (const picture of top.querySelectorAll('.plot svg')) {
        const frame = picture.getBoundingClientRect();
        const labels = [...picture.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
        for (const [text, box] of labels) {
            if (box.left < frame.left - 0.5 || box.right > frame.right + 0.5 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1) found.push(`outside its chart: ${text}`);
        }
        labels.forEach(([text, box], place) => labels.slice(place + 1).forEach(([other, beside]) => {
            if (box.left < beside.right && beside.left < box.right && box.top + 2 < beside.bottom && beside.top + 2 < box.bottom) found.push(`on one another: ${text}, ${other}`);
        }));
    }
    return [...new Set(found)]";

fn lines(found: &Value) -> Vec<String> {
    found.as_array().expect("a list").iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect()
}

/// What does not fit on any screen.
pub(super) async fn misfits(browser: &Browser, what: &str) -> Vec<String> {
    let mut found = Vec::new();
    for screen in Screen::SOME {
        browser.on(screen, 900).await;
        let fits = lines(&browser.run(MEASURE).await);
        found.extend(fits.into_iter().map(|one| format!("{what}, {screen:?}: {one}")));
    }
    found
}

/// Everything that is wrong with the page that is open, on these screens.
pub(super) async fn faults(browser: &Browser, what: &str, screens: &[Screen]) -> Vec<String> {
    let mut found = Vec::new();
    for screen in screens {
        browser.on(*screen, 900).await;
        let fits = lines(&browser.run(MEASURE).await);
        if browser.value("'axe' in window").await != json!(true) {
            browser.run(AXE).await;
        }
        let axe = lines(&browser.run(ASK_AXE).await);
        found.extend(fits.into_iter().chain(axe).map(|one| format!("{what}, {screen:?}: {one}")));
    }
    // The checker tries things that the page's policy forbids; that is none of the page's doing.
    browser.complaints(&[]).await;
    found
}
