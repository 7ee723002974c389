import ast, sys
from pathlib import Path
root=Path(sys.argv[1]) if len(sys.argv)>1 else Path('.')
ROOMS='core datasets metrics methods worlds reports stages evaluation flows cli'.split()
mods={}
for r in ROOMS:
    for p in (root/r).rglob('*.py'):
        rel=p.relative_to(root).with_suffix('')
        name='.'.join(rel.parts)
        if name.endswith('.__init__'): name=name[:-9]
        mods[name]=p
def imports(name,lazy=True,typing=True):
    p=mods[name]; tree=ast.parse(p.read_text())
    pkg=name.split('.') if p.name=='__init__.py' else name.split('.')[:-1]
    out=set()
    def visit(node,infunc):
        for c in ast.iter_child_nodes(node):
            inf=infunc or isinstance(c,(ast.FunctionDef,ast.AsyncFunctionDef,ast.Lambda))
            if isinstance(c,ast.If) and 'TYPE_CHECKING' in ast.dump(c.test) and not typing: continue
            if isinstance(c,ast.ImportFrom) and (lazy or not infunc):
                if c.level:
                    base=pkg[:len(pkg)-(c.level-1)]
                else:
                    if not (c.module or '').startswith('reelbench'): continue
                    base=[]; 
                m=(c.module or '').split('.') if c.module else []
                if not c.level: m=m[1:]
                full='.'.join(base+m)
                for a in c.names:
                    f=full+'.'+a.name if full else a.name
                    if f in mods: out.add(f)
                    elif full in mods: out.add(full)
            visit(c,inf)
    visit(tree,False)
    out.discard(name)
    return out
if __name__=='__main__':
    for lazy in (True,False):
        for start in sys.argv[2:]:
            room=start.split('.')[0]; seen={start}; todo=[start]
            while todo:
                for m in imports(todo.pop(),lazy):
                    if (m.split('.')[0]==room or room=='evaluation') and m not in seen: seen.add(m); todo.append(m)
            print('lazy' if lazy else 'top', start,len(seen),sum(len(mods[m].read_text().splitlines()) for m in seen), sorted(s.split('.')[-1] for s in seen) if len(seen)<30 else '')
