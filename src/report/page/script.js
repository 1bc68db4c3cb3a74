'use strict';
(() => {
  const things = Array.from(document.querySelectorAll('[data-find]'));
  const texts = things.map(thing => thing.getAttribute('data-find').toLowerCase());
  const sections = Array.from(document.querySelectorAll('[data-section]'));
  const box = document.getElementById('find');
  const count = document.getElementById('count');
  const search = () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(word => word);
    let shown = 0;
    things.forEach((thing, n) => {
      const fits = words.every(word => texts[n].includes(word));
      thing.hidden = !fits;
      if (fits) shown += 1;
    });
    for (const section of sections) {
      section.hidden = words.length > 0 && !section.querySelector('[data-find]:not([hidden])');
    }
    count.textContent = words.length ? shown + ' of ' + things.length : '';
  };
  box.addEventListener('input', search);
  document.addEventListener('keydown', event => {
    if (event.key === '/' && document.activeElement !== box) {
      event.preventDefault();
      box.focus();
    }
  });
  const fold = open => {
    for (const thing of things) {
      if (thing.tagName === 'DETAILS' && !thing.hidden) thing.open = open;
    }
  };
  document.getElementById('open').addEventListener('click', () => fold(true));
  document.getElementById('close').addEventListener('click', () => fold(false));
  // The two sides of a hunk are moved together.
  document.addEventListener('scroll', event => {
    const pre = event.target;
    if (!(pre instanceof Element) || !pre.parentElement?.classList.contains('hunk')) return;
    for (const other of pre.parentElement.children) {
      if (other !== pre && other.scrollLeft !== pre.scrollLeft) other.scrollLeft = pre.scrollLeft;
    }
  }, true);
  const follow = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === 'DETAILS') target.open = true;
  };
  addEventListener('hashchange', follow);
  follow();
})();
